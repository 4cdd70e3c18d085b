import { expect, test } from "vitest";
import { clipboardWrite } from "./clipboard-write.ts";

const encoded = (text: string) => Buffer.from(text).toString("base64");

test("S22: OSC 52 writes text to the clipboard, and never reads it", () => {
  expect(clipboardWrite(`c;${encoded("héllo")}`)).toBe("héllo");
  expect(clipboardWrite(`;${encoded("x")}`)).toBe("x");
  expect(clipboardWrite("c;?")).toBeUndefined();
  expect(clipboardWrite(`p;${encoded("x")}`)).toBeUndefined();
  expect(clipboardWrite("c;")).toBeUndefined();
  expect(clipboardWrite("c")).toBeUndefined();
  expect(clipboardWrite("c;not base64!")).toBeUndefined();
  expect(clipboardWrite("c;/w==")).toBeUndefined();
  expect(clipboardWrite("c;A")).toBeUndefined();
  expect(clipboardWrite(`c;${encoded("x".repeat(100 * 1024))}`)).toHaveLength(100 * 1024);
  expect(clipboardWrite(`c;${encoded("x".repeat(101 * 1024))}`)).toBeUndefined();
});
