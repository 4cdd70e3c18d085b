import { expect, test } from "vitest";
import { TokenContests } from "./token-contests.ts";

const MINUTE = 60_000;

test("an agent whose network changes may come back a few times; two that fight are stopped, until one has ended", () => {
  const contests = new TokenContests();
  const come = (now: number) => contests.mayTakeOver("a", ["192.0.2.1", "192.0.2.2"], now);
  expect([come(0), come(10), come(20)]).toEqual([true, true, true]);
  expect(contests.addresses("a", 20)).toBeUndefined();
  expect(come(30)).toBe(false);
  expect(contests.addresses("a", 30)).toEqual(["192.0.2.1", "192.0.2.2"]);
  for (let now = 30; now < 10 * MINUTE; now += 10_000) expect(come(now)).toBe(false);
  expect(contests.addresses("a", 10 * MINUTE)).toHaveLength(2);
  expect(contests.addresses("a", 12 * MINUTE)).toBeUndefined();
  contests.sweep(15 * MINUTE);
  expect(come(15 * MINUTE)).toBe(true);
});

test("occasional reconnects are not a contest", () => {
  const contests = new TokenContests();
  for (let n = 0; n < 50; n++) expect(contests.mayTakeOver("a", [], n * MINUTE)).toBe(true);
});
