import { addMs, type Instant } from "../base/instant.ts";

/** Wait after the first change, and by how much each further one multiplies it. */
const FIRST_GAP_MS = 10_000;
const GROWTH = 6;
const MAX_GAP_MS = 60 * 60_000;

/**
 * When a node may take another local port for the sake of a stuck search (`direct-path-stuck`). Rarely: if the peer is simply
 * away, no port helps, and every change makes all peers probe again.
 */
export class PortChangePolicy {
  #allowedAt = Number.NEGATIVE_INFINITY;
  #gapMs = FIRST_GAP_MS;

  /** True when it may happen now; it is then taken as done. */
  take(now: Instant): boolean {
    if (now < this.#allowedAt) return false;
    this.#allowedAt = addMs(now, this.#gapMs);
    this.#gapMs = Math.min(MAX_GAP_MS, this.#gapMs * GROWTH);
    return true;
  }

  /** A direct path was found, or the network changed. */
  reset(): void {
    this.#allowedAt = Number.NEGATIVE_INFINITY;
    this.#gapMs = FIRST_GAP_MS;
  }
}
