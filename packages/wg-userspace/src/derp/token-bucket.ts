import type { Instant } from "../base/instant.ts";

/** Token bucket. Starts full; time may stand still but never runs backwards. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: Instant;

  constructor(perSecond: number, burst: number, now: Instant) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes `count` tokens if that many are there. */
  take(count: number, now: Instant): boolean {
    if (now > this.#at) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond);
      this.#at = now;
    }
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Whether nothing distinguishes it from a new one at `now`. */
  fullAt(now: Instant): boolean {
    return this.#tokens + (Math.max(0, now - this.#at) / 1000) * this.#perSecond >= this.#burst;
  }
}
