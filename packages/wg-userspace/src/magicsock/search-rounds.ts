/** Towards candidates behind routers the first round only opens our own; the peer gets this long to do the same. */
export const FIRST_GAP_MS = 400;
/** Waits between rounds; the last one repeats. */
const GAPS_MS = [FIRST_GAP_MS, 600, 1_000, 2_000, 3_000, 3_000, 3_000, 5_000, 5_000, 5_000, 8_000];
/**
 * The rounds (after 7 and 36 s, or 18 and 60 s) at which a search counts as stuck: different ones on the two sides, since
 * two that change their ports at once would confuse the routers again.
 */
const STUCK_ROUNDS = { earlier: [5, 11], later: [8, 14] } as const;

/** Which of the two sides gives up first; the sides have to differ. */
export type SearchTurn = keyof typeof STUCK_ROUNDS;

/** The rounds of a search: how many there were since it began, and how long to wait for the next. */
export class SearchRounds {
  readonly #stuckRounds: readonly number[];
  #count = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(turn: SearchTurn) {
    this.#stuckRounds = STUCK_ROUNDS[turn];
  }

  /** Rounds since the search began. */
  get count(): number {
    return this.#count;
  }

  /** The search begins with the next round. */
  reset(): void {
    this.#count = 0;
  }

  /** @returns the number of the round that begins, from 0. */
  begin(now: number): number {
    this.#lastAt = now;
    return this.#count++;
  }

  /** From the beginning of that round to the next. */
  gapMs(round: number): number {
    return GAPS_MS[Math.min(round, GAPS_MS.length - 1)]!;
  }

  isStuck(round: number): boolean {
    return this.#stuckRounds.includes(round);
  }

  sinceLastMs(now: number): number {
    return now - this.#lastAt;
  }
}
