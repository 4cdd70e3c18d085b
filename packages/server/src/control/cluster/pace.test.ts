import { expect, test } from "vitest";
import { Pace } from "./pace.ts";

/** The times for which the changes of each batch are collected, when the first of them comes at these times after the last batch. */
function gathered(pace: Pace, ...afterMs: readonly number[]): number[] {
  let now = 1_000;
  return afterMs.map((after) => {
    now += after;
    const ms = pace.gather(now);
    now += ms + 3;
    pace.written(now);
    return ms;
  });
}

test("changes that come alone are written at once", () => {
  expect(gathered(new Pace(), 0, 21, 100, 21)).toEqual([0, 0, 0, 0]);
});

test("while changes keep coming they are collected for longer, up to a limit", () => {
  expect(gathered(new Pace(), 0, 1, 0, 20, 2, 1, 0)).toEqual([0, 5, 10, 20, 40, 40, 40]);
});

test("after a pause the next change is written at once", () => {
  expect(gathered(new Pace(), 0, 1, 1, 1, 30, 1)).toEqual([0, 5, 10, 20, 0, 5]);
});
