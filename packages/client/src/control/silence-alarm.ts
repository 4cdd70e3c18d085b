/**
 * Detects a dead control connection that reports no error, as a pure state machine. Servers ping at least every 15 s, so silence
 * means that a router lost the flow or a proxy froze. A healthy idle connection costs nothing.
 */
import { addMs, type Instant } from "wg-userspace/base/instant";

/** The server's interval of 15 s, plus time for a retransmission or two. */
const PATIENCE_MS = 19_000;
/** For a server that was found not to ping: it only answers our own pings, every 35 s. */
const LONG_PATIENCE_MS = 45_000;
const ANSWER_MS = 5_000;

export class SilenceAlarm {
  #heardAt: Instant;
  #askedAt: Instant | undefined;
  #patienceMs = PATIENCE_MS;

  constructor(now: Instant) {
    this.#heardAt = now;
  }

  /** The other side was pinged and has not answered yet. */
  get asking(): boolean {
    return this.#askedAt !== undefined;
  }

  /** Call for any input from the other side. */
  heard(now: Instant): void {
    this.#heardAt = now;
    if (this.#askedAt === undefined) return;
    this.#askedAt = undefined;
    this.#patienceMs = LONG_PATIENCE_MS;
  }

  nextTimeout(): Instant {
    return this.#askedAt === undefined ? addMs(this.#heardAt, this.#patienceMs) : addMs(this.#askedAt, ANSWER_MS);
  }

  /** "ask": ping the other side. "dead": it was pinged and did not answer. Safe to call early. */
  handleTimeout(now: Instant): "ask" | "dead" | undefined {
    if (now < this.nextTimeout()) return undefined;
    if (this.#askedAt !== undefined) return "dead";
    this.#askedAt = now;
    return "ask";
  }
}
