import { expect, test } from "vitest";
import { isNotification } from "./attention.ts";

test("a notification is neither progress nor another command", () => {
  expect(["Build finished", "4 tests failed", "é"].map((data) => isNotification(9, data))).toEqual([true, true, true]);
  expect(["", "4", "4;1;50", "9;/home", "12"].map((data) => isNotification(9, data))).toEqual(Array(5).fill(false));
  expect(isNotification(777, "notify;make;done")).toBe(true);
  expect(["", "notify", "preexec", "xnotify;a;b"].map((data) => isNotification(777, data))).toEqual(
    Array(4).fill(false),
  );
});
