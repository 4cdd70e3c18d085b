import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type EscapeAction, EscapeFilter } from "./escape-filter.ts";

function run(...chunks: string[]): { sent: string; actions: EscapeAction[] } {
  const actions: EscapeAction[] = [];
  const filter = new EscapeFilter((action) => actions.push(action));
  const sent = chunks
    .map((chunk) => Buffer.from(filter.feed(Buffer.from(chunk, "latin1"))).toString("latin1"))
    .join("");
  return { sent, actions };
}

describe("EscapeFilter", () => {
  it.each([
    ["~.", "", ["disconnect"]],
    ["ls\r~.", "ls\r", ["disconnect"]],
    ["ls ~.", "ls ~.", []],
    ["~?", "", ["help"]],
    ["~\x1a", "", ["suspend"]],
    ["~#", "", ["status"]],
    ["~~.", "~.", []],
    ["~x", "~x", []],
    ["cd ~\r", "cd ~\r", []],
    ["\n~.\n~.", "\n\n", ["disconnect", "disconnect"]],
  ])("turns %j into %j", (typed, sent, actions) => {
    expect(run(typed)).toEqual({ sent, actions });
  });

  it("recognises an escape that arrives one byte at a time", () => {
    expect(run("\r", "~", ".")).toEqual({ sent: "\r", actions: ["disconnect"] });
  });

  it("gives the same result however the typing is split", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom("a", "~", ".", "\r", "\n", "?", "#")), fc.nat(), (bytes, at) => {
        const typed = bytes.join("");
        const cut = typed.length === 0 ? 0 : at % typed.length;
        expect(run(typed.slice(0, cut), typed.slice(cut))).toEqual(run(typed));
      }),
    );
  });
});
