import { describe, expect, test } from "vitest";
import { addsTo, decodeKept, encodeKept, type KeptCode, type Outcome, outcomeOf, wayOf } from "./kept-code.ts";

const STAMP = "1234-5678.25";
const code = Buffer.from(Array.from({ length: 40_000 }, (_, i) => (i * 7 + (i >> 8)) % 251));
const kept: KeptCode = { outcomes: ["failed", "ok"], code };

test("code is read as it was written, and lies where V8 need not copy it", () => {
  const bytes = encodeKept(STAMP, kept);
  const read = decodeKept(bytes, STAMP)!;
  expect(read.outcomes).toEqual(kept.outcomes);
  expect(read.code.equals(code)).toBe(true);
  for (let length = 0; length < 20; length++)
    expect((encodeKept("s".repeat(length), kept).length - code.length) % 8).toBe(0);
});

describe("code that is not whole is not used:", () => {
  const bytes = encodeKept(STAMP, kept);
  const start = bytes.length - code.length;
  const changed = (change: (copy: Buffer) => Buffer): Buffer => change(Buffer.from(bytes));
  test.each<[string, Buffer]>([
    ["an empty file", Buffer.alloc(0)],
    ["text", Buffer.from("not ours\n")],
    ["JSON of another program", Buffer.from('{"stamp":1}\nxx')],
    ["null", Buffer.from("null\nxx")],
    ["no end of the first line", Buffer.alloc(100_000, " ")],
    ["a missing end", bytes.subarray(0, -1)],
    ["more at the end", Buffer.concat([bytes, Buffer.of(0)])],
    ["an empty block", changed((copy) => copy.fill(0, start + 8192, start + 8192 + 4096))],
    ["an empty end", changed((copy) => copy.fill(0, start + 4096))],
    ["two blocks in the wrong order", changed((copy) => swapped(copy, start + 4096, start + 8192))],
  ])("%s", (_, damaged) => {
    expect(decodeKept(damaged, STAMP)).toBeUndefined();
  });

  test("of another bundle", () => {
    expect(decodeKept(bytes, `${STAMP}1`)).toBeUndefined();
  });
});

function swapped(bytes: Buffer, one: number, other: number): Buffer {
  const first = Buffer.from(bytes.subarray(one, one + 4096));
  bytes.copyWithin(one, other, other + 4096);
  first.copy(bytes, other);
  return bytes;
}

test.each([
  [["list"], "list"],
  [["list", "--all"], "list"],
  [["ssh", "dev", "--", "exit 3"], "ssh"],
  [["ssh", "--help"], "help"],
  [["help"], "help"],
  [["--verbose"], "help"],
  [["--", "list"], "help"],
  [["../list"], ""],
  [["x".repeat(40)], ""],
  [[], "help"],
  [[""], "help"],
])("%j is the way %j", (argv, way) => {
  expect(wayOf(argv)).toBe(way);
});

test("a line that was not understood is an outcome of its own", () => {
  expect([0, 1, 2, 255].map(outcomeOf)).toEqual(["ok", "failed", "usage", "failed"]);
});

test.each<[readonly Outcome[], Outcome, boolean]>([
  [["failed"], "ok", true],
  [["ok"], "failed", true],
  [["ok"], "ok", false],
  [["failed"], "running", true],
  [["running"], "ok", true],
  [["ok"], "running", false],
])("code of starts that were %j: one that was %s adds to it: %j", (outcomes, outcome, adds) => {
  expect(addsTo(outcomes, outcome)).toBe(adds);
});
