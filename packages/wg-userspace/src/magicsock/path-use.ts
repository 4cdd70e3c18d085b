import type { Candidate } from "./candidate.ts";
import type { PathLifetime } from "./path-failures.ts";

interface Counts {
  readonly pings: number;
  readonly pongs: number;
}
const NO_COUNTS: Counts = { pings: 0, pongs: 0 };

/** How long the path in use has lasted and how it answered: what its silence is judged by. */
export class PathUse {
  /** Start of the time that it has been in use without a suspicion. */
  since = Number.NEGATIVE_INFINITY;
  /** Its counts of pings and pongs when its life began, and at its last pong. */
  #atStart = NO_COUNTS;
  #atLastPong = NO_COUNTS;
  /** How long it had lasted when it went silent; undefined while that is no failure of the path. */
  #failedAfterMs: number | undefined;

  /** Another path is in use, or the same one again after a suspicion. */
  begin(candidate: Candidate, now: number): void {
    this.since = now;
    this.ponged(candidate);
    this.#atStart = this.#atLastPong;
    this.#failedAfterMs = undefined;
  }

  ponged({ pingsSent, pongsReceived }: Candidate): void {
    this.#atLastPong = { pings: pingsSent, pongs: pongsReceived };
  }

  /** It went silent: a failure of the path if the peer turns out to be there. */
  failed(silentSince: number): void {
    this.#failedAfterMs = Math.max(0, silentSince - this.since);
  }

  /** The silence has no explanation yet. */
  get mayHaveFailed(): boolean {
    return this.#failedAfterMs !== undefined;
  }

  /** The failure, returned once: the peer is known to be there. */
  takeFailure(): PathLifetime | undefined {
    const ms = this.#failedAfterMs;
    this.#failedAfterMs = undefined;
    if (ms === undefined) return undefined;
    return {
      ms,
      asked: this.#atLastPong.pings - this.#atStart.pings,
      answered: this.#atLastPong.pongs - this.#atStart.pongs,
    };
  }

  /** The path is left: nothing more is concluded from its silence. */
  end(): void {
    this.#failedAfterMs = undefined;
  }
}
