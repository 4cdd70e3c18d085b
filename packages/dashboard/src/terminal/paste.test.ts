import { expect, test } from "vitest";
import { isRiskyPaste, pasteKeys, pieces } from "./paste.ts";

test("S22: pasted text cannot leave bracketed paste", () => {
  expect(pasteKeys("ls\u001b[201~; rm -rf ~\n", true)).toBe("\u001b[200~ls[201~; rm -rf ~\r\u001b[201~");
  expect(pasteKeys("a\u009b201~b\u0085c", true)).toBe("\u001b[200~a201~bc\u001b[201~");
  expect(pasteKeys("a\u001b]52;c;eA==\u0007b", false)).toBe("a]52;c;eA==\u0007b");
});

test("line ends of every system are Enter", () => {
  expect(pasteKeys("a\r\nb\nc\rd", false)).toBe("a\rb\rc\rd");
});

test("many lines are asked about where each would run as it comes", () => {
  const lines = (number: number) => Array.from({ length: number }, () => "x").join("\n");
  expect([isRiskyPaste(lines(5), false), isRiskyPaste(lines(6), false), isRiskyPaste(lines(6), true)]).toEqual([
    false,
    true,
    false,
  ]);
  expect([isRiskyPaste("x".repeat(2000), false), isRiskyPaste("x".repeat(2001), false)]).toEqual([false, true]);
  expect(isRiskyPaste(`${lines(5)}\n`, false)).toBe(false);
});

test("long text is cut between characters", () => {
  const text = `${"a".repeat(32 * 1024 - 1)}😀${"b".repeat(40_000)}`;
  const cut = pieces(text);
  expect(cut.join("")).toBe(text);
  expect(Math.max(...cut.map(({ length }) => length))).toBeLessThanOrEqual(32 * 1024);
  expect(cut[0]).toHaveLength(32 * 1024 - 1);
  expect(pieces("")).toEqual([]);
});
