import { expect, test } from "vitest";
import { plainTitle, tabTitle } from "./title.ts";

test("S21: a title is short plain text", () => {
  expect(plainTitle("vim\u202e\u0007 a\u009b.txt\n")).toBe("vim a.txt");
  expect(plainTitle("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>");
  expect([...plainTitle("😀".repeat(500))]).toHaveLength(120);
});

test("the title of the browser's tab names the program and the workspace, and marks attention", () => {
  expect(tabTitle("", "dev", false)).toBe("Terminal · dev · Coder");
  expect(tabTitle("make", "dev", true)).toBe("● make · dev · Coder");
});
