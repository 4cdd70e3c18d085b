import { addMs, type Instant } from "../base/instant.ts";

/** Allows `burst` at once and `perSecond` on average. */
export class TokenBucket {
  readonly #burst: number;
  readonly #intervalMs: number;
  #tokens: number;
  #at: Instant | undefined;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#tokens = burst;
    this.#intervalMs = 1000 / perSecond;
  }

  take(now: Instant): boolean {
    this.#at ??= now;
    const refill = Math.floor((now - this.#at) / this.#intervalMs);
    if (refill > 0) {
      this.#tokens = Math.min(this.#tokens + refill, this.#burst);
      this.#at = addMs(this.#at, refill * this.#intervalMs);
    }
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }
}
