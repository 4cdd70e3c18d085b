import type { Instant } from "./instant.ts";

/** Smallest value of the last one to two windows, in constant memory. */
export class WindowedMin {
  readonly #windowMs: number;
  #startedAt = Number.NEGATIVE_INFINITY;
  #current = Number.POSITIVE_INFINITY;
  #previous = Number.POSITIVE_INFINITY;
  /** Values added since the last reset. */
  count = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  add(value: number, now: Instant): void {
    const age = now - this.#startedAt;
    if (age >= this.#windowMs) {
      this.#previous = age < 2 * this.#windowMs ? this.#current : Number.POSITIVE_INFINITY;
      this.#current = Number.POSITIVE_INFINITY;
      this.#startedAt = now;
    }
    if (value < this.#current) this.#current = value;
    this.count++;
  }

  /** Infinite before the first value. */
  get value(): number {
    return Math.min(this.#current, this.#previous);
  }

  reset(): void {
    this.#startedAt = Number.NEGATIVE_INFINITY;
    this.#current = this.#previous = Number.POSITIVE_INFINITY;
    this.count = 0;
  }
}
