import fc from "fast-check";
import { expect, test } from "vitest";
import { parseDuration } from "./durations.ts";

test("Go durations become milliseconds", () => {
  expect(parseDuration("24h")).toBe(86_400_000);
  expect(parseDuration("1h30m15.5s")).toBe(5_415_500);
  expect(parseDuration("250ms")).toBe(250);
  expect(parseDuration("7d")).toBe(604_800_000);
  expect(parseDuration("0")).toBe(0);
});

test("anything else is undefined, whatever the text", () => {
  for (const text of ["", "h", "1", "-1h", "1h ", "1 h", "1x", "1hh", "1.h", "∞"])
    expect(parseDuration(text)).toBeUndefined();
  fc.assert(
    fc.property(fc.string(), (text) => {
      const ms = parseDuration(text);
      expect(ms === undefined || ms >= 0).toBe(true);
    }),
  );
});
