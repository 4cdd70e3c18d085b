/** RFC 6298 §2.1: before the first measurement. */
export const INITIAL_RTO_MS = 1000;
/**
 * Floor of the variance term. RFC 6298 (2.4) requires a whole RTO of at least 1 s, which users notice as a hang; all
 * common stacks use 200 ms. A floor of the variance instead of the sum also keeps delayed ACKs from looking like a
 * loss.
 */
export const MIN_VARIANCE_MS = 200;

/** Smoothed round-trip time and retransmission timeout (RFC 6298), backed off by the caller's count. */
export class RttEstimator {
  /** Undefined before the first sample. */
  srttMs: number | undefined = undefined;
  rttvarMs = 0;
  /** Smallest round trip seen on this path. */
  minRttMs = Number.POSITIVE_INFINITY;
  latestMs = 0;
  #baseRtoMs = INITIAL_RTO_MS;
  /** Consecutive timeouts. */
  backoff = 0;
  readonly #maxRtoMs: number;

  constructor(maxRtoMs: number) {
    this.#maxRtoMs = maxRtoMs;
  }

  /**
   * @param samplesPerRtt How many samples a round trip is expected to yield: the gains are divided by it, or the variance
   *   would forget a spike within one round trip (RFC 7323 appendix G).
   */
  sample(rttMs: number, samplesPerRtt: number): void {
    this.latestMs = rttMs;
    if (rttMs < this.minRttMs) this.minRttMs = rttMs;
    if (this.srttMs === undefined) {
      this.srttMs = rttMs;
      this.rttvarMs = rttMs / 2;
    } else {
      const divisor = Math.max(1, samplesPerRtt);
      this.rttvarMs += (Math.abs(this.srttMs - rttMs) - this.rttvarMs) / (4 * divisor);
      this.srttMs += (rttMs - this.srttMs) / (8 * divisor);
    }
    this.#baseRtoMs = Math.min(this.srttMs + Math.max(4 * this.rttvarMs, MIN_VARIANCE_MS), this.#maxRtoMs);
  }

  /** The timeout with its exponential back-off, capped. */
  get rtoMs(): number {
    return this.rtoAfter(this.backoff);
  }
  /** The timeout after that many consecutive timeouts. */
  rtoAfter(timeouts: number): number {
    return Math.min(this.#baseRtoMs * (1 << Math.min(timeouts, 16)), this.#maxRtoMs);
  }

  /** The path changed: keep the timeout, discard the minimum. */
  pathChanged(): void {
    this.minRttMs = Number.POSITIVE_INFINITY;
    this.backoff = 0;
  }
}
