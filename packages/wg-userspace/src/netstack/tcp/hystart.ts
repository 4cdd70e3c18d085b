/**
 * HyStart++ (RFC 9406): leaves slow start when the round trip grows, before the queue overflows. Feed every RTT sample and every
 * round; ask how much the window may grow per acknowledged byte.
 *
 * RFC 9406 §4.2 looks at the minimum of a whole round, so the first eight samples decide. A paced sender has sent its round when
 * half of it is over: the queue that this caused is gone when the next round begins, so those samples see the path one doubling
 * too late. Here every eight samples are compared with the whole round before. A false alarm does little harm: a single short
 * round trip puts an end to conservative slow start (CSS), and only a full round without any ends slow start.
 */
const MIN_RTT_THRESHOLD_MS = 4;
const MAX_RTT_THRESHOLD_MS = 16;
const MIN_RTT_DIVISOR = 8;
const RTT_SAMPLES = 8;
/** An acknowledgment of many segments counts as several samples; receivers that read packets in batches send few. */
const MAX_SAMPLES_PER_ACK = 4;
/**
 * The window may grow by a quarter until CSS is over. RFC 9406 §4.3 proposes a divisor of 4 and 5 rounds, by a factor of 3 in
 * all, more than a queue of one round trip holds.
 */
const CSS_GROWTH_DIVISOR = 8;
/** Two, because the first of them began before CSS did. */
const CSS_ROUNDS = 2;

export class HyStart {
  #lastRoundMinRttMs = Number.POSITIVE_INFINITY;
  #roundMinRttMs = Number.POSITIVE_INFINITY;
  /** Minimum of the samples since the last comparison. */
  #minRttMs = Number.POSITIVE_INFINITY;
  #samples = 0;
  /** In CSS: a round trip below this shows that there is no queue. 0 outside CSS. */
  #cssBaselineMs = 0;
  #cssRounds = 0;
  /** Slow start should end now. */
  done = false;

  reset(): void {
    this.#lastRoundMinRttMs = this.#roundMinRttMs = this.#minRttMs = Number.POSITIVE_INFINITY;
    this.#samples = this.#cssBaselineMs = this.#cssRounds = 0;
    this.done = false;
  }

  /** In conservative slow start: the samples so far show a growing queue. */
  get conservative(): boolean {
    return this.#cssBaselineMs > 0;
  }

  onRoundStart(): void {
    if (this.conservative && ++this.#cssRounds >= CSS_ROUNDS) this.done = true;
    this.#lastRoundMinRttMs = this.#roundMinRttMs;
    this.#roundMinRttMs = Number.POSITIVE_INFINITY;
  }

  /**
   * Bytes by which the window may grow for `delivered` acknowledged ones.
   * @param segments How many these were; one acknowledgment for two is the rule (RFC 5681 §4.2).
   */
  growth(delivered: number, segments: number, rttMs: number): number {
    if (rttMs < this.#roundMinRttMs) this.#roundMinRttMs = rttMs;
    if (rttMs < this.#minRttMs) this.#minRttMs = rttMs;
    if (rttMs < this.#cssBaselineMs) this.#cssBaselineMs = 0;
    this.#samples += Math.min(Math.max(segments / 2, 1), MAX_SAMPLES_PER_ACK);
    if (this.#samples >= RTT_SAMPLES) this.#look();
    return this.conservative ? delivered / CSS_GROWTH_DIVISOR : delivered;
  }

  #look(): void {
    const before = this.#lastRoundMinRttMs;
    if (!this.conservative && before !== Number.POSITIVE_INFINITY) {
      const growthMs = Math.min(Math.max(before / MIN_RTT_DIVISOR, MIN_RTT_THRESHOLD_MS), MAX_RTT_THRESHOLD_MS);
      if (this.#minRttMs >= before + growthMs) {
        this.#cssBaselineMs = before + growthMs;
        this.#cssRounds = 0;
      }
    }
    this.#samples = 0;
    this.#minRttMs = Number.POSITIVE_INFINITY;
  }
}
