import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { untilReasonKnown } from "./end-reason.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Duration of the wait, in ms of virtual time. */
async function waited(connected: Promise<void>, signal = new AbortController().signal): Promise<number> {
  const from = Date.now();
  const ended = untilReasonKnown({ coordinated: () => connected }, signal).then(() => Date.now() - from);
  await vi.advanceTimersByTimeAsync(60_000);
  return await ended;
}

test("a control connection that stands ends the wait after the race of the two ends", async () => {
  expect(await waited(Promise.resolve())).toBe(200);
});

test("one that is being dialled again is waited for, at most five seconds", async () => {
  const dialled = Promise.withResolvers<void>();
  setTimeout(dialled.resolve, 1_000);
  expect(await waited(dialled.promise)).toBe(1_000);
  expect(await waited(new Promise(() => undefined))).toBe(5_200);
});

test("the reason ends it at once", async () => {
  for (const atMs of [0, 100, 900]) {
    const access = new AbortController();
    if (atMs === 0) access.abort();
    else setTimeout(() => access.abort(), atMs);
    expect(await waited(new Promise(() => undefined), access.signal)).toBe(atMs);
  }
});
