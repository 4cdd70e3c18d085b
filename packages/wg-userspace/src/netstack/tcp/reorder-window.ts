/** RFC 8985 §6.2 step 4: loss recoveries for which a widened window is kept. */
const PERSIST_RECOVERIES = 16;
const MAX_MULTIPLIER = 64;

/**
 * RACK's reorder window (RFC 8985 §6.2 step 4): how long a segment may be overtaken before it counts as lost. A quarter of
 * the least round trip, times a factor that grows when a retransmission turns out to have been needless.
 */
export class ReorderWindow {
  #multiplier = 1;
  #persist = 0;
  /** Widened at most once per round trip: not before this position is acknowledged. */
  #roundEnd = -1;

  /** @param srttMs Undefined before the first sample: then there is no wait. */
  lengthMs(minRttMs: number, srttMs: number | undefined): number {
    return srttMs === undefined ? 0 : Math.min((this.#multiplier * minRttMs) / 4, srttMs);
  }

  /** A DSACK shows that a retransmission was needless. */
  widen(una: number, next: number): void {
    if (una < this.#roundEnd) return;
    this.#roundEnd = next;
    this.#multiplier = Math.min(this.#multiplier + 1, MAX_MULTIPLIER);
    this.#persist = PERSIST_RECOVERIES;
  }

  onRecovered(): void {
    if (this.#persist > 0 && --this.#persist === 0) this.#multiplier = 1;
  }
}
