import { expect, it } from "vitest";
import { Bell } from "./bell.ts";

const never = new AbortController().signal;

it("wakes all who wait at its next ring, and none of an earlier one", async () => {
  const bell = new Bell();
  bell.ring();
  const both = Promise.all([bell.next(never), bell.next(never)]);
  expect(bell.waiting).toBe(2);
  bell.ring();
  await both;
  expect(bell.waiting).toBe(0);
});

it("forgets those whose signal ends", async () => {
  const bell = new Bell();
  const stop = new AbortController();
  const waits = Array.from({ length: 100 }, () => bell.next(stop.signal));
  stop.abort(new Error("over"));
  for (const outcome of await Promise.allSettled(waits)) expect(outcome).toMatchObject({ reason: { message: "over" } });
  expect(bell.waiting).toBe(0);
  await expect(bell.next(stop.signal)).rejects.toThrow("over");
  expect(bell.waiting).toBe(0);
});
