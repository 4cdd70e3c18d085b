import { expect, test } from "vitest";
import { instant } from "../../base/instant.ts";
import { PathRate } from "./path-rate.ts";

test("the busiest eighth of a round trip counts, not the pauses between", () => {
  const rate = new PathRate();
  for (let round = 0; round < 3; round++)
    for (let ms = 1; ms <= 40; ms++) rate.onDelivered(1000, 80, instant(100 * round + ms));
  expect(rate.highest).toBeCloseTo(1000);
});

test("acknowledgments that arrive together do not raise the rate", () => {
  const rate = new PathRate();
  for (let ms = 10; ms <= 200; ms += 10) for (let i = 0; i < 10; i++) rate.onDelivered(1000, 80, instant(ms));
  expect(rate.highest).toBeCloseTo(1000);
});

test("another path starts from zero", () => {
  const rate = new PathRate();
  for (let ms = 1; ms <= 40; ms++) rate.onDelivered(1000, 80, instant(ms));
  rate.reset();
  expect(rate.highest).toBe(0);
});
