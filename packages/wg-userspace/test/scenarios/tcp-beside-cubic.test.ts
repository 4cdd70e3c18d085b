import { expect, test } from "vitest";
import { besideCubic } from "./tcp-beside-cubic.ts";

test.each([
  [20, 0.1, "ours", 0.35],
  [20, 0.1, "cubic", 0.35],
  [100, 0.1, "ours", 0.35],
  [100, 0.1, "cubic", 0.35],
  [20, 1, "cubic", 0.45],
] as const)(
  "on a path of %i ms with a queue of %d BDP, %s first, textbook CUBIC gets at least %d of what both deliver",
  (rttMs, queue, first, atLeast) => {
    const { share, used } = besideCubic(
      { rateBps: 20e6, rttMs, queue },
      { first, hystart: true, ms: 30_000, aheadMs: 100 },
    );
    expect(share).toBeGreaterThan(atLeast);
    expect(used).toBeGreaterThan(0.85);
  },
);
