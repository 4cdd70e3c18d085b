/**
 * Notices that a control connection is dead although nothing says so, from what the control plane sends anyway: a pure
 * state machine. Servers ping at least every 15 s; a router that forgot the flow, or a proxy that froze, lets nothing
 * through. Costs nothing on an idle connection that is well.
 */
import { addMs, type Instant } from "wg-userspace/base/instant";

/** The server's 15 s, and time for a retransmission or two. */
const PATIENCE_MS = 19_000;
/** For a server that turned out to be one that says nothing by itself: its answers to our own pings come every 35 s. */
const LONG_PATIENCE_MS = 45_000;
const ANSWER_MS = 5_000;

export class SilenceAlarm {
  #heardAt: Instant;
  #askedAt: Instant | undefined;
  #patienceMs = PATIENCE_MS;

  constructor(now: Instant) {
    this.#heardAt = now;
  }

  /** The other side was asked and has not answered yet. */
  get asking(): boolean {
    return this.#askedAt !== undefined;
  }

  /** Anything at all came from the other side. */
  heard(now: Instant): void {
    this.#heardAt = now;
    if (this.#askedAt === undefined) return;
    this.#askedAt = undefined;
    this.#patienceMs = LONG_PATIENCE_MS;
  }

  nextTimeout(): Instant {
    return this.#askedAt === undefined ? addMs(this.#heardAt, this.#patienceMs) : addMs(this.#askedAt, ANSWER_MS);
  }

  /** "ask": make the other side say something. "dead": it was asked and did not answer. Safe to call early. */
  handleTimeout(now: Instant): "ask" | "dead" | undefined {
    if (now < this.nextTimeout()) return undefined;
    if (this.#askedAt !== undefined) return "dead";
    this.#askedAt = now;
    return "ask";
  }
}
