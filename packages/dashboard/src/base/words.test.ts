import { expect, test } from "vitest";
import { ago, count, milliseconds, visible } from "./words.ts";

test("times have one unit", () => {
  const now = 1_000_000_000_000;
  const before = (seconds: number) => ago(now - seconds * 1000, now);
  expect([0, 44, 45, 60, 89 * 60, 90 * 60, 35 * 3600, 36 * 3600].map(before)).toEqual([
    "just now",
    "just now",
    "1 min ago",
    "1 min ago",
    "89 min ago",
    "2 h ago",
    "35 h ago",
    "2 days ago",
  ]);
  expect(ago(now + 3_600_000, now)).toBe("in 60 min");
  expect(ago(now + 20_000, now)).toBe("just now");
});

test("numbers read well", () => {
  expect([count(0, "client"), count(1, "client"), count(2, "client")]).toEqual(["0 clients", "1 client", "2 clients"]);
  expect([milliseconds(0.42), milliseconds(31.4)]).toEqual(["0.4 ms", "31 ms"]);
});

test("S21, S24: a command that hides something shows it", () => {
  expect(visible("ls\x1b[2K\r\nrm -rf ~")).toBe("ls␛[2K␍␊rm -rf ~");
  expect(visible("a\u202eb\u200bc\u0085")).toBe("a[U+202E]b[U+200B]c[U+0085]");
});
