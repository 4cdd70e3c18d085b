import { expect, it } from "vitest";
import { instant } from "../base/instant.ts";
import { Doubt } from "./doubt.ts";

it("a path is not doubted within 150 ms of its last pong", () => {
  const doubt = new Doubt();
  expect([doubt.reason(149, instant(1_000)), doubt.reason(150, instant(1_001))]).toEqual([false, true]);
});

it("the gap between two doubts doubles up to 10 s while reasons keep coming, and is short again after a pause", () => {
  const doubt = new Doubt();
  const raisedAt: number[] = [];
  for (let ms = 0; ms < 60_000; ms += 50)
    if (doubt.reason(1_000, instant(ms))) {
      doubt.raised(instant(ms));
      raisedAt.push(ms);
    }
  const gaps = raisedAt.slice(1).map((ms, i) => ms - raisedAt[i]!);
  expect(gaps).toEqual([150, 300, 600, 1_200, 2_400, 4_800, 9_600, 10_000, 10_000, 10_000, 10_000]);
  expect(doubt.reason(1_000, instant(71_000))).toBe(true);
  doubt.raised(instant(71_000));
  expect([doubt.reason(1_000, instant(71_149)), doubt.reason(1_000, instant(71_150))]).toEqual([false, true]);
});
