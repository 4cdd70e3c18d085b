import { expect, it } from "vitest";
import { instant } from "./instant.ts";
import { WindowedMin } from "./windowed-min.ts";

it("is the smallest value of the last one to two windows", () => {
  const min = new WindowedMin(100);
  expect(min.value).toBe(Number.POSITIVE_INFINITY);
  min.add(5, instant(0));
  min.add(9, instant(50));
  expect(min.value).toBe(5);
  min.add(8, instant(120));
  expect(min.value).toBe(5);
  min.add(7, instant(230));
  expect(min.value).toBe(7);
  min.add(20, instant(1_000));
  expect(min.value).toBe(20);
  expect(min.count).toBe(5);
  min.reset();
  expect(min.value).toBe(Number.POSITIVE_INFINITY);
});
