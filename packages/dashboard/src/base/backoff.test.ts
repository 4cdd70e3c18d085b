import { expect, test } from "vitest";
import { Backoff } from "./backoff.ts";

test("delays double to 15 s, are spread by 20 % and begin again after a long life", () => {
  const backoff = new Backoff();
  expect(Array.from({ length: 8 }, () => backoff.next(0, 0.5))).toEqual([
    250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000,
  ]);
  expect([backoff.next(0, 0), backoff.next(0, 1)]).toEqual([12_000, 18_000]);
  expect(backoff.next(10_001, 0.5)).toBe(0);
  expect(backoff.next(0, 0.5)).toBe(250);
  backoff.reset();
  expect(backoff.next(0, 0.5)).toBe(250);
});
