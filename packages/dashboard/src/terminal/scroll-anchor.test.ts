import { expect, it } from "vitest";
import { anchorOf, findAnchor } from "./scroll-anchor.ts";

it("finds the last place of the last three lines of a view", () => {
  const anchor = anchorOf(["a", "b", "c", "d"]);
  expect(anchor).toEqual(["b", "c", "d"]);
  expect(findAnchor(["b", "c", "d", "x", "b", "c", "d", "y"], anchor)).toBe(7);
  expect(findAnchor(["b", "c", "d"], anchor)).toBe(3);
  expect(findAnchor(["b", "c"], anchor)).toBeUndefined();
  expect(findAnchor([], anchor)).toBeUndefined();
});

it("blank lines are no anchor", () => {
  expect(findAnchor(["", "", ""], anchorOf(["", " ", ""]))).toBeUndefined();
  expect(findAnchor(["x"], anchorOf([]))).toBeUndefined();
});
