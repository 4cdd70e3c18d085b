import type { Instant } from "../../base/instant.ts";
import type { LossContext } from "./congestion.ts";
import { LossRate } from "./loss-rate.ts";
import { PathRate } from "./path-rate.ts";
import { QueueAtLoss } from "./queue-at-loss.ts";
import { RttEstimator } from "./rtt.ts";

/**
 * What a sender measures of its path: round trips, rates of delivery and loss, and how full the queue was at a loss.
 * From these a congestion controller decides what a loss means.
 */
export class PathMeasurements {
  readonly rtt: RttEstimator;
  readonly #lossRate = new LossRate();
  readonly #pathRate = new PathRate();
  readonly #queueAtLoss = new QueueAtLoss();
  /** Least round trip of this round and of the one before. */
  #roundMinRttMs = Number.POSITIVE_INFINITY;
  #lastRoundMinRttMs = Number.POSITIVE_INFINITY;

  constructor(maxRtoMs: number) {
    this.rtt = new RttEstimator(maxRtoMs);
  }

  /** Least round trip of the path; 0 before the first sample. */
  get minRttMs(): number {
    return this.rtt.minRttMs === Number.POSITIVE_INFINITY ? 0 : this.rtt.minRttMs;
  }

  /**
   * @param samplesPerRound How many samples a round trip has now: the more there are, the less independent they are.
   */
  onRtt(rttMs: number, samplesPerRound: number): void {
    this.rtt.sample(rttMs, samplesPerRound);
    if (rttMs < this.#roundMinRttMs) this.#roundMinRttMs = rttMs;
    this.#queueAtLoss.onRtt(rttMs, this.rtt.minRttMs);
  }
  onDelivered(bytes: number, cwnd: number, mss: number, now: Instant): void {
    this.#lossRate.onDelivered(bytes, cwnd, mss);
    this.#pathRate.onDelivered(bytes, this.minRttMs, now);
  }
  /** Everything sent before the last call was answered. */
  onRoundStart(): void {
    this.#lastRoundMinRttMs = this.#roundMinRttMs;
    this.#roundMinRttMs = Number.POSITIVE_INFINITY;
    this.#queueAtLoss.onRoundStart();
  }

  onLost(bytes: number): void {
    this.#lossRate.onLost(bytes);
  }
  /** The first loss after a time without losses: it shows how long the queue had become. */
  onFirstLoss(): void {
    this.#queueAtLoss.onLoss();
  }
  /** A segment deemed lost had arrived. */
  onNeedless(mss: number): void {
    this.#lossRate.onNeedless(mss);
  }
  /** All losses were repaired. */
  onRecovered(): void {
    this.#lossRate.clear();
  }

  /** The path changed: nothing measured before applies to the new one. */
  moved(): void {
    this.rtt.pathChanged();
    this.#lossRate.clear();
    this.#pathRate.reset();
    this.#queueAtLoss.reset();
    this.#roundMinRttMs = this.#lastRoundMinRttMs = Number.POSITIVE_INFINITY;
  }

  lossContext(inFlight: number, cwnd: number, mss: number): LossContext {
    return {
      inFlight,
      lossRate: this.#lossRate.value(cwnd, mss),
      pathRate: this.#pathRate.highest,
      queueAtLoss: this.#queueAtLoss.share,
      rttMs: this.rtt.latestMs,
      roundMinRttMs: Math.min(this.#roundMinRttMs, this.#lastRoundMinRttMs),
      minRttMs: this.rtt.minRttMs,
    };
  }
}
