import { expect, test } from "vitest";
import { path, possible, transfer } from "./bulk-transfer.ts";

test.each([
  [20, 150],
  [100, 400],
])(
  "slow start fills a path of %i ms with a queue of one BDP, and loses at most %i packets to the queue in ten seconds",
  (rttMs, drops) => {
    const link = path(rttMs, 1);
    const { bytes, queueDrops } = transfer(link);
    expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
    expect(queueDrops).toBeLessThanOrEqual(drops);
  },
);
test("slow start overflows a queue of a quarter BDP once, not twice", () => {
  const link = path(100, 0.25);
  const { bytes, queueDrops } = transfer(link);
  expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
  expect(queueDrops).toBeLessThanOrEqual(600);
});
