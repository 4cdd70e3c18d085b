/**
 * What happens to a server whose database does not answer: a state machine without I/O and clock.
 *
 *     healthy ─ failed → doubtful ─ 6 s since the last heartbeat → isolated ⇄ shedding ─ heartbeat → settling ─ 2 s, all read →
 *     healthy
 *
 * The other servers consider an isolated server lost. It releases its peers only to a sibling that is known to be ready. If there
 * is none, for example because the database itself is down, everything continues as it is.
 */
import { EXPIRED_AFTER_MS, LOST_AFTER_MS } from "./view.ts";

/** Interval at which siblings are asked. */
const ASK_MS = 2_000;
/**
 * A sibling has to be ready for this long: one that has lost the database as well notices it only a heartbeat and a time-out
 * later.
 */
const READY_MS = 4_000;
/** From the first heartbeat on, peers that left this server have this long to connect elsewhere and to be read. */
const SETTLE_MS = 2_000;

export type IsolationState = "healthy" | "doubtful" | "isolated" | "shedding" | "settling";

export interface IsolationEvents {
  /** There was no heartbeat for so long that the others consider this server lost. */
  isolated(): void;
  /** Siblings have to be asked whether they are ready; call `answered` with the result. */
  ask(): void;
  /** A sibling is ready and has stayed so: release this server's peers to it. */
  shed(): void;
  /** No sibling is ready any more: the remaining peers stay. */
  keep(): void;
  /** Isolated for so long that a right may have ended without notice, and that the others have removed this server's rows. */
  freeze(): void;
  /** The database answers again. */
  back(isolatedMs: number): void;
  /** What was missed has been read. */
  settled(): void;
}

export class Isolation {
  readonly #events: IsolationEvents;
  #state: IsolationState = "healthy";
  #heartbeatMs: number;
  #askMs = Number.POSITIVE_INFINITY;
  /** When the settling time ends; infinite when it is over and before it has begun. */
  #settledMs = Number.POSITIVE_INFINITY;
  /** While settling: a read has to begin after this time to contain everything that was missed. */
  #readFromMs = Number.POSITIVE_INFINITY;
  #isFrozen = false;
  /** Since when a sibling has answered that it is ready. */
  #readySinceMs: number | undefined;

  /** @param nowMs Of a monotonic clock; the server had a heartbeat at that time. */
  constructor(events: IsolationEvents, nowMs: number) {
    this.#events = events;
    this.#heartbeatMs = nowMs;
  }

  get state(): IsolationState {
    return this.#state;
  }

  /** A heartbeat was written, and this server's row existed. */
  heartbeat(nowMs: number): void {
    const isolatedMs = nowMs - this.#heartbeatMs;
    this.#heartbeatMs = nowMs;
    if (this.#state === "doubtful") this.#state = "healthy";
    if (this.#state !== "isolated" && this.#state !== "shedding") return;
    this.#state = "settling";
    this.#readySinceMs = undefined;
    this.#isFrozen = false;
    this.#askMs = Number.POSITIVE_INFINITY;
    this.#settledMs = nowMs + SETTLE_MS;
    this.#readFromMs = nowMs;
    this.#events.back(isolatedMs);
  }

  /** Everything that the database contained about other servers at `beganMs` has been read. */
  caughtUp(beganMs: number): void {
    if (this.#state !== "settling" || beganMs < this.#readFromMs) return;
    this.#readFromMs = Number.POSITIVE_INFINITY;
    this.#settle();
  }

  /** A query of the cluster failed. */
  failed(): void {
    if (this.#state === "healthy") this.#state = "doubtful";
  }

  /** The siblings answered; `isAnyReady` says whether one of them is ready. */
  answered(isAnyReady: boolean, nowMs: number): void {
    if (this.#state !== "isolated" && this.#state !== "shedding") return;
    this.#askMs = nowMs + ASK_MS;
    if (!isAnyReady) this.#readySinceMs = undefined;
    else this.#readySinceMs ??= nowMs;
    const mayShed = this.#readySinceMs !== undefined && nowMs - this.#readySinceMs >= READY_MS;
    if (this.#state === "isolated" && mayShed) {
      this.#state = "shedding";
      this.#events.shed();
    } else if (this.#state === "shedding" && !isAnyReady) {
      this.#state = "isolated";
      this.#events.keep();
    }
  }

  nextTimeout(): number {
    if (this.#state !== "isolated" && this.#state !== "shedding")
      return Math.min(this.#heartbeatMs + LOST_AFTER_MS, this.#settledMs);
    return Math.min(this.#askMs, this.#isFrozen ? Number.POSITIVE_INFINITY : this.#heartbeatMs + EXPIRED_AFTER_MS);
  }

  handleTimeout(nowMs: number): void {
    if (nowMs >= this.#settledMs) {
      this.#settledMs = Number.POSITIVE_INFINITY;
      this.#settle();
    }
    if (this.#state !== "isolated" && this.#state !== "shedding") {
      if (nowMs < this.#heartbeatMs + LOST_AFTER_MS) return;
      this.#state = "isolated";
      this.#settledMs = Number.POSITIVE_INFINITY;
      this.#askMs = nowMs;
      this.#events.isolated();
    }
    if (nowMs >= this.#askMs) {
      this.#askMs = Number.POSITIVE_INFINITY; // one question at a time
      this.#events.ask();
    }
    if (this.#isFrozen || nowMs < this.#heartbeatMs + EXPIRED_AFTER_MS) return;
    this.#isFrozen = true;
    this.#events.freeze();
  }

  /** Settled once both the time has passed and the read is done. */
  #settle(): void {
    if (this.#settledMs !== Number.POSITIVE_INFINITY || this.#readFromMs !== Number.POSITIVE_INFINITY) return;
    this.#state = "healthy";
    this.#events.settled();
  }
}
