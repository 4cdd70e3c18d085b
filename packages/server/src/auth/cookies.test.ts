import { expect, test } from "vitest";
import { cookieValue } from "./cookies.ts";

test.each([
  ["a=1", "1"],
  ["b=2; a=1", "1"],
  ["b=2;a=1;c=3", "1"],
  [" \ta = 1 ", "1"],
  ['a="1"', "1"],
  ['a="', '"'],
  ["a=1=2", "1=2"],
  ["a=", ""],
  ["a=1; a=1", undefined],
  ["a=1; a=2", undefined],
  ['a=1; a="2"', undefined],
  ["A=1", undefined],
  ["\u00a0a=1", undefined],
  ["a\u00a0=1", undefined],
  ["\u2003a=1", undefined],
  ["a\v=1", undefined],
  ["aa=1", undefined],
  ["a", undefined],
  ["=a", undefined],
  ["", undefined],
  [undefined, undefined],
])("cookie a of %j is %j", (header, value) => expect(cookieValue(header, "a")).toBe(value));

test("security 40: blanks inside a cookie cost no more than other characters", () => {
  const long = `${" ".repeat(1_000_000)}x`;
  expect(cookieValue(`b${long}=1; c=1${long}; a=1`, "a")).toBe("1"); // at quadratic cost this would take half an hour
});
