/** Waits between attempts: they grow by a factor, with ±20 % jitter, up to a limit. */
export class Backoff {
  readonly #firstMs: number;
  readonly #limitMs: number;
  readonly #factor: number;
  readonly #random: () => number;
  #nextMs: number;

  constructor(options: { firstMs: number; limitMs: number; factor?: number; random?: () => number }) {
    this.#firstMs = options.firstMs;
    this.#limitMs = options.limitMs;
    this.#factor = options.factor ?? 1.6;
    this.#random = options.random ?? Math.random;
    this.#nextMs = options.firstMs;
  }

  /** The wait before the next attempt, in ms. */
  next(): number {
    const wait = this.#nextMs * (0.8 + 0.4 * this.#random());
    this.#nextMs = Math.min(this.#limitMs, this.#nextMs * this.#factor);
    return wait;
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}

export { sleep } from "wg-userspace/async/abort";
