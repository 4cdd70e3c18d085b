/**
 * TAI64N timestamps of initiations (whitepaper §5.1): u64 seconds ‖ u32 nanoseconds, big-endian, so that byte order is
 * time order. The low 24 bits of the nanoseconds are cleared: they would reveal our clock to an observer.
 */
import type { Instant } from "../base/instant.ts";
import { HANDSHAKE_INITIATION_INTERVAL, TIMESTAMP_LENGTH } from "./constants.ts";

const GRANULE_NS = 2 ** 24;
/** Granules that begin within a second; the last one is shorter. */
const GRANULES_PER_SECOND = Math.ceil(1e9 / GRANULE_NS);
/** TAI64's 2^62 ‖ the ten seconds between TAI and UTC at the epoch. */
const TAI64_HIGH = 0x4000_0000;
const TAI64_EPOCH_SECONDS = 10;

/** @param unixMs Wall-clock time in ms since 1970, with fractions. */
export function tai64n(unixMs: number): Uint8Array {
  return write(granuleAt(unixMs));
}

/** Compares timestamps as bytes: -1, 0 or 1. */
export function compareTimestamps(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < TIMESTAMP_LENGTH; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference < 0 ? -1 : 1;
  }
  return 0;
}

/** Timestamps for one peer: always greater than the previous one, even when the wall clock is set back. */
export class TimestampSource {
  #lastGranule = -1;

  next(unixMs: number): Uint8Array {
    this.#lastGranule = Math.max(granuleAt(unixMs), this.#lastGranule + 1);
    return write(this.#lastGranule);
  }
}

/** Decides whether a peer's authenticated initiation is new. */
export class TimestampGuard {
  #greatest: Uint8Array | undefined;
  #acceptedAt: Instant | undefined;

  /** Undefined when the timestamp is accepted and recorded; otherwise the reason to drop the initiation. */
  accept(timestamp: Uint8Array, now: Instant): "replayed" | "handshake-flood" | undefined {
    if (timestamp.length !== TIMESTAMP_LENGTH) return "replayed";
    if (this.#greatest !== undefined && compareTimestamps(timestamp, this.#greatest) <= 0) return "replayed";
    if (this.#acceptedAt !== undefined && now - this.#acceptedAt <= HANDSHAKE_INITIATION_INTERVAL) {
      return "handshake-flood";
    }
    this.#greatest = timestamp.slice();
    this.#acceptedAt = now;
    return undefined;
  }
}

/** Counts granules since 1970 as seconds × granules per second, so that the number stays exact. */
function granuleAt(unixMs: number): number {
  const seconds = Math.floor(unixMs / 1000);
  const nanoseconds = Math.min((unixMs - seconds * 1000) * 1e6, 999_999_999);
  return seconds * GRANULES_PER_SECOND + Math.floor(nanoseconds / GRANULE_NS);
}

function write(granule: number): Uint8Array {
  const unixSeconds = Math.floor(granule / GRANULES_PER_SECOND);
  const seconds = unixSeconds + TAI64_EPOCH_SECONDS;
  const out = new Uint8Array(TIMESTAMP_LENGTH);
  const view = new DataView(out.buffer);
  view.setUint32(0, TAI64_HIGH + Math.floor(seconds / 2 ** 32));
  view.setUint32(4, seconds % 2 ** 32);
  view.setUint32(8, (granule - unixSeconds * GRANULES_PER_SECOND) * GRANULE_NS);
  return out;
}
