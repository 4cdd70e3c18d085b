/** The last round trips; their smallest is taken, so that jitter does not look like a queue. */
const RECENT_SAMPLES = 4;
/** Per round trip, so that a queue that is shorter now becomes the measure again. */
const PEAK_DECAY = 1 / 64;
/** Weight of a loss among those before it. */
const GAIN = 1 / 4;
/** A highest queue below this, and this share of the path's round trip, is no queue but noise. */
const MIN_PEAK_MS = 1;
const MIN_PEAK_SHARE = 1 / 24;

/**
 * How full the queue is when segments are lost, as a share of the fullest it was seen to be. A queue that overflows loses
 * them when it is full, however short it is; what is lost at random is lost at any time. No single loss tells one from the
 * other, but the average does.
 */
export class QueueAtLoss {
  readonly #recent = new Float64Array(RECENT_SAMPLES);
  #samples = 0;
  #queueMs = 0;
  #peakMs = 0;
  #noiseMs = MIN_PEAK_MS;
  /** 0 … 1. From 0 on: some losses have to come before they tell anything. */
  share = 0;

  onRtt(rttMs: number, minRttMs: number): void {
    const recent = this.#recent;
    recent[this.#samples++ % RECENT_SAMPLES] = rttMs;
    if (this.#samples < RECENT_SAMPLES) return;
    let smallest = rttMs;
    for (let i = 0; i < RECENT_SAMPLES; i++) if (recent[i]! < smallest) smallest = recent[i]!;
    this.#queueMs = smallest - minRttMs;
    this.#noiseMs = Math.max(MIN_PEAK_MS, minRttMs * MIN_PEAK_SHARE);
    if (this.#queueMs > this.#peakMs) this.#peakMs = this.#queueMs;
  }

  onRoundStart(): void {
    this.#peakMs -= this.#peakMs * PEAK_DECAY;
  }

  onLoss(): void {
    const share = this.#peakMs < this.#noiseMs ? 0 : Math.min(this.#queueMs / this.#peakMs, 1);
    this.share += (share - this.share) * GAIN;
  }

  reset(): void {
    this.#samples = this.#queueMs = this.#peakMs = this.share = 0;
  }
}
