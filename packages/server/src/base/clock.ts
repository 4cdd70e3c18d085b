/** Wall clock in milliseconds since 1970. Expiry times outlive the process, so a monotonic clock would not do. */
export interface WallClock {
  now(): number;
}

export const systemClock: WallClock = { now: () => Date.now() };

const OFFSETS = 5;

/** The database's time, which several servers share: the local time plus the offset measured last. */
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

  /** How far the local clock is behind the database's. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** Records that the database's time was `databaseMs` in the middle of a round trip that has just ended. */
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
