import { expect, test } from "vitest";
import { terminalKey } from "./terminal-keys.ts";

const NONE = { ctrlKey: false, metaKey: false, shiftKey: false, altKey: false };
const press = (key: string, code: string, held: Partial<typeof NONE> = {}, copies = false) =>
  terminalKey({ key, code, ...NONE, ...held }, { copies });
const ctrlShift = { ctrlKey: true, shiftKey: true };

test("the page takes few keys, and Ctrl-C only where it shall copy a selection", () => {
  expect(press("c", "KeyC", { ctrlKey: true })).toBeUndefined();
  expect(press("c", "KeyC", { ctrlKey: true }, true)).toEqual({ kind: "copy" });
  expect(press("C", "KeyC", ctrlShift)).toEqual({ kind: "copy" });
  expect(press("c", "KeyC", { metaKey: true })).toEqual({ kind: "copy" });
  expect(press("V", "KeyV", ctrlShift)).toEqual({ kind: "paste" });
  expect(press("v", "KeyV", { ctrlKey: true })).toEqual({ kind: "paste" });
  expect(press("Insert", "Insert", { shiftKey: true })).toEqual({ kind: "paste" });
  expect(press("F", "KeyF", ctrlShift)).toEqual({ kind: "search" });
  expect(press("f", "KeyF", { ctrlKey: true })).toBeUndefined();
  expect(press("Escape", "Escape", ctrlShift)).toEqual({ kind: "leave" });
  expect(press("+", "NumpadAdd", { ctrlKey: true })).toEqual({ kind: "larger" });
  expect(press("x", "KeyX", { altKey: true, ctrlKey: true })).toBeUndefined();
  expect(press("a", "KeyA")).toBeUndefined();
});

test("keys of tabs", () => {
  expect(press("T", "KeyT", ctrlShift)).toEqual({ kind: "new-tab" });
  expect(press("W", "KeyW", ctrlShift)).toEqual({ kind: "close-tab" });
  expect(press("Tab", "Tab", ctrlShift)).toEqual({ kind: "earlier-tab" });
  expect(press("Tab", "Tab", { ctrlKey: true })).toEqual({ kind: "next-tab" });
  expect(press("Tab", "Tab")).toBeUndefined();
});

test("Shift-Enter is ESC CR", () => {
  expect(press("Enter", "Enter", { shiftKey: true })).toEqual({ kind: "send", text: "\u001b\r" });
  expect(press("Enter", "Enter")).toBeUndefined();
});
