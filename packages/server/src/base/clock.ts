/** Wall clock in milliseconds since 1970: expiry times outlive the process, so a monotonic clock does not do. */
export interface WallClock {
  now(): number;
}

export const systemClock: WallClock = { now: () => Date.now() };

const OFFSETS = 5;

/** The database's time, as several servers share it: local time, moved by what was measured last. */
export class DatabaseClock implements WallClock {
  readonly #local: WallClock;
  readonly #offsets: number[] = [];
  #offsetMs = 0;

  constructor(local: WallClock) {
    this.#local = local;
  }

  now(): number {
    return this.#local.now() + this.#offsetMs;
  }

  /** By how much the local clock is behind the database's. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** The database's time was `databaseMs` in the middle of a round trip that ended now. */
  measured(databaseMs: number, roundTripMs: number): void {
    this.#offsets.push(Math.round(databaseMs - (this.#local.now() - roundTripMs / 2)));
    if (this.#offsets.length > OFFSETS) this.#offsets.shift();
    const sorted = this.#offsets.toSorted((a, b) => a - b);
    this.#offsetMs = sorted[sorted.length >> 1]!;
  }
}

/** RFC 3339 in UTC with milliseconds. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}
