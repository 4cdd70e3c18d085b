import { afterEach, expect, it } from "vitest";
import { forTerminal, showsUnchanged } from "./line-ends.ts";

const before = process.stderr.isTTY;
afterEach(() => {
  showsUnchanged(false);
  Object.defineProperty(process.stderr, "isTTY", { value: before, configurable: true });
});

it.each([
  [true, true, "one\r\ntwo\r\n"],
  [true, false, "one\ntwo\n"],
  [false, true, "one\ntwo\n"],
])("on a terminal %s, which shows bytes unchanged %s, lines are %j", (isTerminal, unchanged, shown) => {
  Object.defineProperty(process.stderr, "isTTY", { value: isTerminal, configurable: true });
  showsUnchanged(unchanged);
  expect(forTerminal("one\ntwo\n")).toBe(shown);
});
