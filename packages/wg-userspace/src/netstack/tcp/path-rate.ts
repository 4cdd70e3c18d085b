import type { Instant } from "../../base/instant.ts";

/**
 * An eighth is shorter than the burst in which a paced sender sends a round of slow start, and longer than most bursts of
 * acknowledgments.
 */
const INTERVALS_PER_ROUND_TRIP = 8;
const MIN_INTERVAL_MS = 1;

/**
 * The highest rate at which data was delivered, over an eighth of a round trip. In slow start the path is busy for a
 * part of each round only, and that part shows its capacity. Acknowledgments that were held back and arrive together
 * make it look too high.
 */
export class PathRate {
  #startedAt: number = Number.NEGATIVE_INFINITY;
  #bytes = 0;
  /** Bytes per ms; 0 before anything is known. */
  highest = 0;

  onDelivered(bytes: number, minRttMs: number, now: Instant): void {
    this.#bytes += bytes;
    const elapsedMs = now - this.#startedAt;
    if (elapsedMs < MIN_INTERVAL_MS || elapsedMs * INTERVALS_PER_ROUND_TRIP < minRttMs) return;
    const rate = this.#bytes / elapsedMs;
    if (rate > this.highest) this.highest = rate;
    this.#startedAt = now;
    this.#bytes = 0;
  }

  reset(): void {
    this.#startedAt = Number.NEGATIVE_INFINITY;
    this.#bytes = this.highest = 0;
  }
}
