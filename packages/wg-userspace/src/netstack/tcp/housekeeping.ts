import type { Instant } from "../../base/instant.ts";
import type { ChunkPool } from "./chunk-pool.ts";
import type { Receiver } from "./receiver.ts";
import type { SegmentSize } from "./segment-size.ts";
import { HOUSEKEEPING, type TcpTimers } from "./timers.ts";

/** Receive memory is released after a pause. */
const TRIM_AFTER_MS = 1000;

/** What a connection does when nothing urgent is due: releases receive memory, and tries larger packets again. */
export class Housekeeping {
  readonly #timers: TcpTimers;
  readonly #receiver: Receiver;
  readonly #chunks: ChunkPool;
  readonly #size: SegmentSize;
  #trimAt = Number.POSITIVE_INFINITY;

  constructor(timers: TcpTimers, receiver: Receiver, chunks: ChunkPool, size: SegmentSize) {
    this.#timers = timers;
    this.#receiver = receiver;
    this.#chunks = chunks;
    this.#size = size;
  }

  /** Called per segment: an armed timer that fires early arms itself again. */
  dataArrived(now: Instant): void {
    this.#trimAt = now + TRIM_AFTER_MS;
    if (!this.#timers.armed(HOUSEKEEPING)) this.schedule();
  }

  schedule(): void {
    const at = Math.min(this.#trimAt, this.#size.retryAt);
    if (at === Number.POSITIVE_INFINITY) this.#timers.clear(HOUSEKEEPING);
    else this.#timers.set(HOUSEKEEPING, at);
  }

  onTimeout(now: Instant): void {
    if (now >= this.#trimAt) {
      this.#trimAt = Number.POSITIVE_INFINITY;
      this.#receiver.reassembly.trim();
      this.#chunks.clear();
    }
    if (now >= this.#size.retryAt) this.#size.retry();
    this.schedule();
  }
}
