/** The last round trips; the smallest of them counts, so that jitter does not look like a queue. */
const RECENT_SAMPLES = 4;
/** Decay per round trip, so that the peak follows a queue that has become shorter. */
const PEAK_DECAY = 1 / 64;
/** Weight of a loss among those before it. */
const GAIN = 1 / 4;
/** A highest queue below this, and below this share of the path's round trip, is noise. */
const MIN_PEAK_MS = 1;
const MIN_PEAK_SHARE = 1 / 24;

/**
 * The fill of the queue when segments are lost, as a share of its fullest. A queue that overflows loses them when it is
 * full, however short it is; random losses come at any time. No single loss distinguishes the two, but the average
 * does.
 */
export class QueueAtLoss {
  readonly #recent = new Float64Array(RECENT_SAMPLES);
  #samples = 0;
  #queueMs = 0;
  #peakMs = 0;
  #noiseMs = MIN_PEAK_MS;
  /** 0 … 1. Starts at 0: it takes some losses to be significant. */
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
