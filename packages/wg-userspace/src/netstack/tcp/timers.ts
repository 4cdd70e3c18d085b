import { type Instant, instant } from "../../base/instant.ts";

// Timers, in the order in which those due at the same time are handled: a tail probe postpones the timeout.

/** RACK's wait for reordered segments (RFC 8985 §6.2). */
export const REORDER = 0;
/** Tail loss probe (RFC 8985 §7). */
export const TAIL_PROBE = 1;
/** Retransmission timeout (RFC 6298). */
export const RETRANSMIT = 2;
/** Zero-window and silly-window probes. */
export const PERSIST = 3;
export const DELAYED_ACK = 4;
export const KEEPALIVE = 5;
/** Connect timeout before ESTABLISHED, TIME-WAIT after. */
export const LIFETIME = 6;
/** Releases receive memory after a pause, and tries larger segments again. */
export const HOUSEKEEPING = 7;
/** The next segment is due at the paced rate. */
export const PACE = 8;
const COUNT = 9;

/**
 * The deadlines of one connection. A TimerTable with fixed names in one typed array: re-armed with every segment, so it
 * must cost only a store.
 */
export class TcpTimers {
  readonly #at: Float64Array = new Float64Array(COUNT).fill(Number.POSITIVE_INFINITY);

  set(name: number, at: number): void {
    this.#at[name] = at;
  }
  clear(name: number): void {
    this.#at[name] = Number.POSITIVE_INFINITY;
  }
  clearAll(): void {
    this.#at.fill(Number.POSITIVE_INFINITY);
  }
  armed(name: number): boolean {
    return this.#at[name]! !== Number.POSITIVE_INFINITY;
  }
  at(name: number): number {
    return this.#at[name]!;
  }
  /** Infinity when nothing is armed. */
  next(): Instant {
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < COUNT; i++) if (this.#at[i]! < next) next = this.#at[i]!;
    return instant(next);
  }
  /** Disarms and returns the first timer that is due, or -1. */
  takeExpired(now: Instant): number {
    for (let i = 0; i < COUNT; i++) {
      if (this.#at[i]! <= now) {
        this.#at[i] = Number.POSITIVE_INFINITY;
        return i;
      }
    }
    return -1;
  }
}
