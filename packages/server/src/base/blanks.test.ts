import { expect, test } from "vitest";
import { withoutBlanks } from "./blanks.ts";

test.each([
  ["a", "a"],
  [" \ta b\t ", "a b"],
  [" \t ", ""],
  ["", ""],
  ["\u00a0a\v", "\u00a0a\v"],
])("%j without blanks is %j", (text, expected) => expect(withoutBlanks(text)).toBe(expected));

test("security 40: blanks in the middle of a long text cost no more than other characters", () => {
  const text = `a${" ".repeat(4_000_000)}b`;
  expect(withoutBlanks(text)).toBe(text); // at quadratic cost this would take hours
});
