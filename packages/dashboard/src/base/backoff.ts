const FIRST_MS = 250;
const LONGEST_MS = 15_000;
const SPREAD = 0.2;
/** After a connection that lasted this long, the next attempt is made at once. */
const LONG_LIFE_MS = 10_000;

/** Delays between attempts to connect: 0 once after a connection that lasted, then 0.25 s doubling to 15 s, ± 20 %. */
export class Backoff {
  #failures = 0;

  /** Call when a connection has ended after `livedMs`, or with 0 when it could not be opened. */
  next(livedMs: number, random: number): number {
    if (livedMs > LONG_LIFE_MS) {
      this.#failures = 0;
      return 0;
    }
    const delay = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    return Math.round(delay * (1 - SPREAD + 2 * SPREAD * random));
  }

  /** The cause is probably gone, so the delays start short again. */
  reset(): void {
    this.#failures = 0;
  }
}
