import { expect, test } from "vitest";
import { displayWidth } from "../base/text.ts";
import { COLOURS } from "./colours.ts";
import { hasColours } from "./paint.ts";

test.each([
  [true, false, {}, true],
  [false, false, {}, false],
  [true, false, { NO_COLOR: "1" }, false],
  [true, false, { NO_COLOR: "" }, true],
  [false, false, { FORCE_COLOR: "1" }, true],
  [false, false, { FORCE_COLOR: "" }, true],
  [true, false, { FORCE_COLOR: "0" }, false],
  [true, false, { FORCE_COLOR: "1", NO_COLOR: "1" }, false],
  [true, false, { TERM: "dumb" }, false],
  [true, true, {}, false],
  [true, true, { FORCE_COLOR: "1" }, false],
])("terminal %s, --no-color %s, with %j is coloured: %s", (terminal, refused, environment, coloured) => {
  expect(hasColours({ terminal, refused, environment })).toBe(coloured);
});

test("colours what it is given, and nothing of no width", () => {
  expect(COLOURS.good("yes")).toBe("\u001b[32myes\u001b[39m");
  expect(COLOURS.keyword("P2P")).toBe("\u001b[1m\u001b[36mP2P\u001b[39m\u001b[22m");
  expect(COLOURS.faint("")).toBe("");
  for (const paint of Object.values(COLOURS) as ((text: string) => string)[])
    expect(displayWidth(paint("abc"))).toBe(3);
});
