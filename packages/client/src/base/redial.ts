/** The first pause is random up to this length, so that the clients of a failed server do not return all at once. */
const SPREAD_MS = 1_000;
const FACTOR = 1.6;
/** Only a connection that lasted this long makes the pauses short again; one that is refused after the handshake does not. */
const GOOD_CONNECTION_MS = 10_000;

/** Computes the pauses before a permanent connection is dialled again. */
export class Redial {
  readonly #limitMs: number;
  readonly #random: () => number;
  #openedMs: number | undefined;
  /** Pauses since the last connection that lasted. */
  #pauses = 0;

  constructor(options: { readonly limitMs: number; readonly random?: () => number }) {
    this.#limitMs = options.limitMs;
    this.#random = options.random ?? Math.random;
  }

  /** The connection is established; the time that dialling took does not count. */
  opened(nowMs: number): void {
    this.#openedMs = nowMs;
  }

  /**
   * The connection ended, or was never made. Returns the ms to wait before the next attempt.
   * @param alone The server ended only this connection, so no other clients return with this one.
   */
  ended(nowMs: number, alone = false): number {
    if (this.#openedMs !== undefined && nowMs - this.#openedMs >= GOOD_CONNECTION_MS) this.#pauses = 0;
    this.#openedMs = undefined;
    const pauses = this.#pauses++;
    if (pauses === 0 && alone) return 0;
    if (pauses === 0) return Math.min(this.#limitMs, SPREAD_MS * this.#random());
    return Math.min(this.#limitMs, SPREAD_MS * FACTOR ** pauses) * (0.8 + 0.4 * this.#random());
  }
}
