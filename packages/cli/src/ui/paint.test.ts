import { expect, test } from "vitest";
import { PLAIN, paintFor } from "./paint.ts";

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: "1" }, false],
  [true, { NO_COLOR: "" }, true],
  [false, { FORCE_COLOR: "1" }, true],
  [false, { FORCE_COLOR: "" }, true],
  [true, { FORCE_COLOR: "0" }, false],
  [true, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
  [true, { TERM: "dumb" }, false],
])("terminal %s with %j is coloured: %s", (isTTY, environment, coloured) => {
  expect(paintFor({ isTTY }, environment) !== PLAIN).toBe(coloured);
});
