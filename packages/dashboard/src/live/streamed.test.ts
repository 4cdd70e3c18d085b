import { signal } from "@preact/signals";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../api/client.ts";
import { RETRY_MS } from "./resource.ts";
import type { Follower } from "./stream/followers.ts";
import { streamed } from "./streamed.ts";

const following = vi.hoisted(() => new Set<Follower>());

vi.mock("./stream/link.ts", () => ({
  linkUp: signal(true),
  follow: (_subscription: unknown, follower: Follower) => {
    following.add(follower);
    return () => following.delete(follower);
  },
}));

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("document", Object.assign(new EventTarget(), { visibilityState: "visible" }));
});
afterEach(() => {
  following.clear();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function setUp() {
  const got: unknown[] = [];
  const life = new AbortController();
  const source = streamed({
    subscription: { topic: "me", args: {} },
    read: (data) => data,
    everyMs: 1_000,
  });
  const changes = {
    deliver: (data: unknown) => void got.push(data),
    fail: ({ status }: ApiError) => void got.push(status),
    reload: () => undefined,
  };
  source.watch?.(changes, life.signal);
  return { take: () => got.splice(0), life };
}

const only = (): Follower => {
  expect(following.size).toBe(1);
  return [...following][0]!;
};
const failure = (status: number) => new ApiError(status, { message: "failed" });

test("a subscription that the server failed to serve begins again after a while", () => {
  const { take, life } = setUp();
  const first = only();
  first.error(failure(500));
  first.error(failure(503));
  expect(take()).toEqual([500, 503]);
  vi.advanceTimersByTime(RETRY_MS - 1);
  expect(only()).toBe(first);
  vi.advanceTimersByTime(1);
  const second = only();
  expect(second).not.toBe(first);
  second.data({ a: 1 });
  expect(take()).toEqual([{ a: 1 }]);
  second.error(failure(500));
  life.abort();
  vi.advanceTimersByTime(10 * RETRY_MS);
  expect([following.size, vi.getTimerCount()]).toEqual([0, 0]);
});

test("what does not exist is not asked for again", () => {
  const { take, life } = setUp();
  const first = only();
  first.error(failure(404));
  vi.advanceTimersByTime(10 * RETRY_MS);
  expect([only() === first, take()]).toEqual([true, [404]]);
  life.abort();
});
