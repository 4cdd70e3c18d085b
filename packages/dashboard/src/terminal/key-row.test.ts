import { expect, test } from "vitest";
import { withHeld } from "./key-row.tsx";

test("a held key changes the next one as a keyboard does", () => {
  expect(["c", "C", "[", "@", "_"].map((key) => withHeld(key, "ctrl"))).toEqual([
    "\u0003",
    "\u0003",
    "\u001b",
    "\u0000",
    "\u001f",
  ]);
  expect(withHeld("b", "alt")).toBe("\u001bb");
  expect(["é", "1", "\u001b[A"].map((key) => withHeld(key, "ctrl"))).toEqual(["é", "1", "\u001b[A"]);
  expect(withHeld("x", undefined)).toBe("x");
});
