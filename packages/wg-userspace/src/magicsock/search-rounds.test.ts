import { describe, expect, it } from "vitest";
import { SearchRounds } from "./search-rounds.ts";

describe("the rounds of a search", () => {
  it("come at growing gaps, the last of which repeats", () => {
    const rounds = new SearchRounds("earlier");
    const gaps = Array.from({ length: 13 }, () => rounds.gapMs(rounds.begin(0)) / 100);
    expect(gaps).toEqual([4, 6, 10, 20, 30, 30, 30, 50, 50, 50, 80, 80, 80]);
    expect(rounds.count).toBe(13);
    rounds.reset();
    expect([rounds.count, rounds.begin(0)]).toEqual([0, 0]);
  });

  it("count as stuck at different numbers on the two sides", () => {
    for (const [turn, stuck] of [
      ["earlier", [5, 11]],
      ["later", [8, 14]],
    ] as const) {
      const rounds = new SearchRounds(turn);
      expect(Array.from({ length: 20 }, (_, round) => round).filter((round) => rounds.isStuck(round))).toEqual(stuck);
    }
  });

  it("know the time since the last one, even if that was of an earlier search", () => {
    const rounds = new SearchRounds("later");
    expect(rounds.sinceLastMs(5)).toBe(Number.POSITIVE_INFINITY);
    rounds.begin(1_000);
    rounds.reset();
    expect(rounds.sinceLastMs(1_500)).toBe(500);
  });
});
