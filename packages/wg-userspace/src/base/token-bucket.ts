import type { Instant } from "./instant.ts";

/** Allows `burst` at once and `perSecond` on average. Starts full. Time may stand still but never runs backwards. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perMs: number;
  #tokens: number;
  #usedAt: Instant | undefined;

  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes `count` tokens if it holds that many. */
  take(now: Instant, count = 1): boolean {
    this.#tokens = this.#tokensAt(now);
    this.#usedAt = now;
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Whether it holds as much as a new one. */
  isFull(now: Instant): boolean {
    return this.#tokensAt(now) >= this.#burst;
  }

  /** Time of the last take; undefined before the first. */
  get usedAt(): Instant | undefined {
    return this.#usedAt;
  }

  #tokensAt(now: Instant): number {
    if (this.#usedAt === undefined) return this.#tokens;
    return Math.min(this.#burst, this.#tokens + Math.max(0, now - this.#usedAt) * this.#perMs);
  }
}
