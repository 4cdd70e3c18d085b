import type { Instant } from "../../base/instant.ts";
import type { AddrPort } from "../../base/ip.ts";
import { SipHash } from "../siphash.ts";

/** Ticks of 4 µs in a millisecond. */
const TICKS_PER_MS = 250;

/**
 * Where a connection starts to count (RFC 6528 §3): its sequence numbers at a clock of 4 µs plus a secret function of the
 * four-tuple, its timestamps at another secret function of it (RFC 7323 §5.4).
 */
export class InitialNumbers {
  readonly #hash: SipHash;

  /** @param secret 16 random bytes. */
  constructor(secret: Uint8Array) {
    this.#hash = new SipHash(secret);
  }

  of(local: AddrPort, remote: AddrPort, now: Instant): { readonly iss: number; readonly tsOffset: number } {
    const tuple = new Uint8Array(4 + local.address.length + remote.address.length);
    tuple.set([local.port >> 8, local.port & 255, remote.port >> 8, remote.port & 255]);
    tuple.set(local.address, 4);
    tuple.set(remote.address, 4 + local.address.length);
    const [low, high] = this.#hash.hash(tuple);
    const clock = Math.floor(now * TICKS_PER_MS) % 0x100000000;
    return { iss: (low + clock) >>> 0, tsOffset: high };
  }
}
