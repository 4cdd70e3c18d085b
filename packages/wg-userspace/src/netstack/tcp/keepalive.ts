import type { Instant } from "../../base/instant.ts";
import { KEEPALIVE, type TcpTimers } from "./timers.ts";

/** Asks a silent peer whether it is alive, and notices when it is not (RFC 9293 §3.8.4). */
export class Keepalive {
  /** A probe has to be sent. */
  probeDue = false;
  readonly #timers: TcpTimers;
  readonly #idleMs: number;
  readonly #intervalMs: number;
  readonly #count: number;
  #probes = 0;
  #lastHeardAt: Instant;

  /** @param idleMs 0 disables keepalive. */
  constructor(timers: TcpTimers, idleMs: number, intervalMs: number, count: number, now: Instant) {
    this.#timers = timers;
    this.#idleMs = idleMs;
    this.#intervalMs = intervalMs;
    this.#count = count;
    this.#lastHeardAt = now;
  }

  start(now: Instant): void {
    if (this.#idleMs > 0) this.#timers.set(KEEPALIVE, now + this.#idleMs);
  }

  /** The peer sent something. Called per segment. */
  heard(now: Instant): void {
    this.#lastHeardAt = now;
    this.#probes = 0;
  }

  /**
   * The timer has expired.
   * @param outstanding There is unacknowledged data: its retransmission or probe detects whether the peer is alive.
   * @returns false when the peer has answered no probe.
   */
  onTimeout(outstanding: boolean, now: Instant): boolean {
    const dueAt = this.#lastHeardAt + this.#idleMs;
    if (outstanding) this.#timers.set(KEEPALIVE, now + this.#idleMs);
    else if (this.#probes === 0 && now < dueAt) this.#timers.set(KEEPALIVE, dueAt);
    else if (this.#probes >= this.#count) return false;
    else {
      this.#probes++;
      this.probeDue = true;
      this.#timers.set(KEEPALIVE, now + this.#intervalMs);
    }
    return true;
  }
}
