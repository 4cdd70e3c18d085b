import { addMs, type Instant } from "../base/instant.ts";

/** A heartbeat without an answer is repeated after this plus two round trips, then at growing intervals. */
const RETRY_MS = 300;
const MAX_RETRY_MS = 1_000;
/** The path is suspected after this plus four round trips of silence. */
const SUSPECT_MS = 1_100;
/** A path that is in doubt is suspected after this plus two round trips of silence. */
const DOUBTED_SUSPECT_MS = 250;
/** A path that stays suspected this long is given up. */
const GIVE_UP_MS = 8_000;

/** The silence of the path in use, from an unanswered heartbeat to giving the path up. Round trips are 0 when unknown. */
export class PathWatch {
  #suspectSince: Instant | undefined;
  /** First ping to the path that no pong followed. */
  #unansweredSince: Instant | undefined;
  #retries = 0;
  #doubted = false;

  /** The path is silent for too long: it does not carry traffic alone. */
  get isSuspected(): boolean {
    return this.#suspectSince !== undefined;
  }
  /** The path has to answer within a fraction of the usual time. */
  get isDoubted(): boolean {
    return this.#doubted;
  }
  /** First ping that no pong followed; undefined: the path answers. */
  get unansweredSince(): Instant | undefined {
    return this.#unansweredSince;
  }

  /** Another path is watched from now on, or none. */
  reset(): void {
    this.#suspectSince = undefined;
    this.#unansweredSince = undefined;
    this.#doubted = false;
  }

  /** A heartbeat left. */
  beat(now: Instant): void {
    if (this.#unansweredSince !== undefined) return;
    this.#unansweredSince = now;
    this.#retries = 0;
  }

  /** A heartbeat was repeated. */
  repeated(): void {
    this.#retries++;
  }

  doubt(now: Instant): void {
    this.#doubted = true;
    this.#unansweredSince ??= now;
  }

  suspect(now: Instant): void {
    this.#suspectSince = now;
    this.#unansweredSince ??= now;
  }

  /** A pong arrived. @returns whether that ends a suspicion. */
  answered(): boolean {
    const recovered = this.isSuspected;
    this.reset();
    return recovered;
  }

  /** When a heartbeat that left now is repeated. */
  firstRetryAt(roundTripMs: number, now: Instant): Instant {
    return addMs(now, RETRY_MS + 2 * roundTripMs);
  }

  /** When a repeated heartbeat is repeated again. */
  nextRetryAt(roundTripMs: number, now: Instant): Instant {
    return addMs(now, Math.min(MAX_RETRY_MS, RETRY_MS * (1 + this.#retries)) + roundTripMs);
  }

  /** When the silence becomes suspicious; only while something is unanswered. */
  suspectAt(roundTripMs: number): Instant {
    const patienceMs = this.#doubted ? DOUBTED_SUSPECT_MS + 2 * roundTripMs : SUSPECT_MS + 4 * roundTripMs;
    return addMs(this.#unansweredSince!, patienceMs);
  }

  /** The path has been suspected for so long that it is given up. */
  isLost(now: Instant): boolean {
    return this.#suspectSince !== undefined && now - this.#suspectSince >= GIVE_UP_MS;
  }
}
