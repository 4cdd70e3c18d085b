import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { DomainError } from "../base/domain-error.ts";
import { DatabaseAway } from "../db/postgres/failures.ts";
import { onceDatabaseAnswers } from "./once-database-answers.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const open = () => new AbortController();

it("repeats work that fails because the database is away or busy, and returns its final result", async () => {
  const failures = [new DatabaseAway(undefined), new DomainError("busy", "The database is busy."), undefined];
  const work = vi.fn(async () => {
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return "stored";
  });
  const result = onceDatabaseAnswers(work, open().signal);
  await vi.runAllTimersAsync();
  expect(await result).toBe("stored");
  expect(work).toHaveBeenCalledTimes(3);
});

it("gives up with the connection", async () => {
  const over = open();
  const work = vi.fn(async () => {
    throw new DatabaseAway(undefined);
  });
  const result = onceDatabaseAnswers(work, over.signal);
  const settled = expect(result).rejects.toBeInstanceOf(DatabaseAway);
  await vi.advanceTimersByTimeAsync(600_000);
  const before = work.mock.calls.length;
  expect(before).toBeGreaterThan(100);
  over.abort();
  await settled;
  expect(work.mock.calls.length).toBe(before + 1);
});

it.each([new DomainError("forbidden", "No."), new Error("a fault")])("repeats nothing after %s", async (failure) => {
  const work = vi.fn(async () => {
    throw failure;
  });
  await expect(onceDatabaseAnswers(work, open().signal)).rejects.toBe(failure);
  expect(work).toHaveBeenCalledTimes(1);
});
