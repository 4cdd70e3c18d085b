/**
 * HyStart++ (RFC 9406): leaves slow start when the round trip grows, before the queue overflows. Feed every RTT sample
 * and every round; ask how much the window may grow per acknowledged byte.
 */
const MIN_RTT_THRESHOLD_MS = 4;
const MAX_RTT_THRESHOLD_MS = 16;
const MIN_RTT_DIVISOR = 8;
const RTT_SAMPLES = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;

export class HyStart {
  #lastRoundMinRttMs = Number.POSITIVE_INFINITY;
  #roundMinRttMs = Number.POSITIVE_INFINITY;
  #samples = 0;
  /** Conservative slow start: waiting to see whether the growth was real. */
  #cssBaselineMs: number | undefined;
  #cssRounds = 0;
  /** Slow start should end now. */
  done = false;

  reset(): void {
    this.#lastRoundMinRttMs = this.#roundMinRttMs = Number.POSITIVE_INFINITY;
    this.#samples = 0;
    this.#cssBaselineMs = undefined;
    this.#cssRounds = 0;
    this.done = false;
  }

  onRoundStart(): void {
    if (this.#cssBaselineMs !== undefined && ++this.#cssRounds >= CSS_ROUNDS) this.done = true;
    this.#lastRoundMinRttMs = this.#roundMinRttMs;
    this.#roundMinRttMs = Number.POSITIVE_INFINITY;
    this.#samples = 0;
  }

  /** Bytes by which the window may grow for `delivered` acknowledged ones. */
  growth(delivered: number, rttMs: number): number {
    this.#samples++;
    if (rttMs < this.#roundMinRttMs) this.#roundMinRttMs = rttMs;
    if (this.#samples >= RTT_SAMPLES && this.#lastRoundMinRttMs !== Number.POSITIVE_INFINITY) {
      if (this.#cssBaselineMs !== undefined) {
        if (this.#roundMinRttMs < this.#cssBaselineMs) this.#cssBaselineMs = undefined; // it was jitter
      } else {
        const threshold = Math.min(
          Math.max(this.#lastRoundMinRttMs / MIN_RTT_DIVISOR, MIN_RTT_THRESHOLD_MS),
          MAX_RTT_THRESHOLD_MS,
        );
        if (this.#roundMinRttMs >= this.#lastRoundMinRttMs + threshold) {
          this.#cssBaselineMs = this.#roundMinRttMs;
          this.#cssRounds = 0;
        }
      }
    }
    return this.#cssBaselineMs === undefined ? delivered : delivered / CSS_GROWTH_DIVISOR;
  }
}
