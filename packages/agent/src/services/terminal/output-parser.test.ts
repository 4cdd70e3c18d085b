import fc from "fast-check";
import { expect, test } from "vitest";
import { OutputParser } from "./output-parser.ts";

const parse = (pieces: readonly Uint8Array[]) => {
  const parser = new OutputParser();
  for (const piece of pieces) parser.push(piece);
  const { title, directory, between, modes } = parser;
  return { title, directory, between, screen: modes.screen(), others: modes.others() };
};
const whole = (text: string) => parse([Buffer.from(text)]);

const SESSION =
  "\u001b]0;vim – a.ts\u0007\u001b[?1049h\u001b[?1h\u001b=\u001b[?2004;1006h\u001b[?25l\u001b[?1000h\u001b[?1002h" +
  "text ä€𝒳\u001b]7;file://host/home/a%20b\u001b\\\u001b[38;5;1m";

test("it sees the same at every split, in two and byte by byte", () => {
  const bytes = Buffer.from(SESSION);
  const expected = {
    title: "vim – a.ts",
    directory: "file://host/home/a%20b",
    between: true,
    screen: "\u001b[?1049h",
    others: "\u001b[?25l\u001b[?1h\u001b[?66h\u001b[?2004h\u001b[?1002h\u001b[?1006h",
  };
  expect(parse([bytes])).toEqual(expected);
  expect(parse(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))).toEqual(expected);
  for (let at = 0; at <= bytes.length; at++)
    expect(parse([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected);
});

test.each([
  ["a reset", "\u001bc"],
  ["each one switched off", "\u001b[?1049l\u001b[?1l\u001b>\u001b[?2004l\u001b[?1006;1002l\u001b[?25h"],
])("after %s a terminal is new", (_, end) => {
  expect(whole(`${SESSION}${end}`)).toMatchObject({ screen: "", others: "" });
});

test("a soft reset leaves the screen and the mouse", () => {
  expect(whole(`${SESSION}\u001b[!p`)).toMatchObject({
    screen: "\u001b[?1049h",
    others: "\u001b[?2004h\u001b[?1002h\u001b[?1006h",
  });
});

test("text that only looks like a mode or a title has no effect", () => {
  for (const text of [
    "\u001b[1049h",
    "\u001b[?1049",
    "\u001b[?1049$p",
    "\u001b[>1049h",
    "\u001bP\u001b[?1049\u001b\\h",
  ])
    expect(whole(text).screen).toBe("");
  expect(whole("\u001bP0;title\u0007\u001b]1;icon\u0007\u001b]2").title).toBe("");
  expect(whole("\u001b]2;part\u0018\u001b]02;no\u0007").title).toBe("");
});

test("a sequence beyond its limit has no effect, and what follows it has", () => {
  const parser = new OutputParser();
  parser.push(Buffer.from("\u001b]2;"));
  parser.push(Buffer.alloc(1_000_000, 0x61));
  expect(parser.title).toBe("");
  parser.push(Buffer.from("\u001b\\\u001b]2;new\u0007\u001b["));
  parser.push(Buffer.alloc(1_000_000, 0x31));
  parser.push(Buffer.from("h\u001b[?2004h"));
  expect([parser.title, parser.modes.others()]).toEqual(["new", "\u001b[?2004h"]);
});

test("random output never throws, and splits never matter", () => {
  const bytes = fc
    .uint8Array({ maxLength: 60 })
    .map((raw) => raw.map((byte) => (byte < 60 ? [27, 91, 93, 63, 59, 104, 7][byte % 7]! : byte)));
  fc.assert(
    fc.property(bytes, fc.nat(60), (output, at) => {
      expect(parse([output.subarray(0, at), output.subarray(at)])).toEqual(parse([output]));
    }),
    { numRuns: 2_000 },
  );
});
