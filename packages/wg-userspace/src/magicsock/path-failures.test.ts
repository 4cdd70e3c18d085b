import { expect, it } from "vitest";
import { instant } from "../base/instant.ts";
import { ip } from "../base/ip.ts";
import { PathFailures, type PathLifetime } from "./path-failures.ts";

const A = ip("198.51.100.1");
const MINUTE = 60_000;

function life(ms: number, asked = 0, answered = 0): PathLifetime {
  return { ms, asked, answered };
}

/** Lets the path fail `times` times, each `lifeMs` after it may be used again. Returns the hold-offs. */
function holdsOf(failures: PathFailures, times: number, lifeMs: number): number[] {
  let now = instant(1_000_000);
  return Array.from({ length: times }, () => {
    now = instant(now + lifeMs);
    failures.add(A, life(lifeMs), now);
    const hold = failures.heldUntil(A, now) - now;
    now = instant(now + hold);
    return hold;
  });
}

it("the first failure causes no hold-off, each further one a longer one", () => {
  const holds = holdsOf(new PathFailures(), 8, 20_000);
  expect(holds[0]).toBe(0);
  expect(holds.slice(1).every((hold, i) => hold >= holds[i]!)).toBe(true);
  expect(holds.at(-1)).toBe(30 * MINUTE);
});

it("a path that lasted for minutes starts over", () => {
  const failures = new PathFailures();
  holdsOf(failures, 4, 20_000);
  const now = instant(100 * MINUTE);
  failures.add(A, life(6 * MINUTE), now);
  expect(failures.heldUntil(A, now)).toBe(now);
  expect(failures.summary(A, now)).toEqual({ count: 1, lifeMs: 6 * MINUTE, heldUntil: now, loss: undefined });
});

it("reports how long the path typically lasted, and forgets after a while", () => {
  const failures = new PathFailures();
  const now = instant(1_000_000);
  for (const ms of [18_000, 1_000, 20_000, 22_000, 19_000]) failures.add(A, life(ms), now);
  expect(failures.summary(A, now)).toMatchObject({ count: 5, lifeMs: 19_000 });
  expect(failures.summary(ip("198.51.100.2"), now)).toBeUndefined();
  expect(failures.summary(A, instant(now + 60 * MINUTE))).toBeUndefined();
});

it("a life of five minutes proves a path, and probes of earlier lives no longer count", () => {
  const failures = new PathFailures();
  const now = instant(1_000_000);
  for (let i = 0; i < 3; i++) failures.add(A, life(1_000, 10, 1), now);
  expect(failures.summary(A, now)).toMatchObject({ count: 3, lifeMs: 1_000, loss: expect.closeTo(0.9) });
  failures.add(A, life(5 * MINUTE, 6, 6), now);
  expect(failures.summary(A, now)).toEqual({ count: 1, lifeMs: 5 * MINUTE, heldUntil: now, loss: 0 });
});

it("more answers than probes do not make the loss negative", () => {
  const failures = new PathFailures();
  failures.add(A, life(1_000, 6, 9), instant(1));
  expect(failures.summary(A, instant(1))!.loss).toBe(0);
});

it("the lives of the last five failures determine how long it lasts", () => {
  const failures = new PathFailures();
  const now = instant(1_000_000);
  for (let i = 0; i < 5; i++) failures.add(A, life(1_000), now);
  for (let i = 0; i < 3; i++) failures.add(A, life(9_000), now);
  expect(failures.summary(A, now)).toMatchObject({ count: 8, lifeMs: 9_000 });
});

it("half an hour after the hold-off a failure is forgotten; so is everything after a network change", () => {
  const failures = new PathFailures();
  const now = instant(1_000_000);
  failures.add(A, life(1_000), now);
  failures.add(A, life(1_000), now);
  const until = now + 15_000;
  expect(failures.heldUntil(A, now)).toBe(until);
  expect(failures.summary(A, instant(until + 30 * MINUTE - 1))).toBeDefined();
  expect(failures.heldUntil(A, instant(until + 30 * MINUTE))).toBe(Number.NEGATIVE_INFINITY);
  expect(failures.summary(A, instant(now))).toBeUndefined(); // it was removed
  failures.add(A, life(1_000), now);
  failures.clear();
  expect(failures.summary(A, now)).toBeUndefined();
  expect(failures.heldUntil(A, now)).toBe(Number.NEGATIVE_INFINITY);
});

it("remembers a bounded number of addresses, the latest", () => {
  const failures = new PathFailures();
  const now = instant(1_000_000);
  const address = (i: number) => ip(`203.0.113.${i}`);
  for (let i = 1; i <= 100; i++) for (let j = 0; j < 2; j++) failures.add(address(i), life(1_000), now);
  const known = Array.from({ length: 100 }, (_, i) => failures.summary(address(i + 1), now)).filter(Boolean);
  expect(known).toHaveLength(16);
  expect(failures.summary(address(100), now)).toBeDefined();
  expect(failures.summary(address(85), now)).toBeDefined();
});

it("the loss of a path is reported after enough probes, over all its lives", () => {
  const failures = new PathFailures();
  const now = instant(1_000_000);
  failures.add(A, life(3_000, 5, 3), now);
  expect(failures.summary(A, now)!.loss).toBeUndefined();
  failures.add(A, life(3_000, 5, 2), now);
  expect(failures.summary(A, now)!.loss).toBe(0.5);
  failures.add(A, life(6 * MINUTE, 100, 100), now);
  expect(failures.summary(A, now)!.loss).toBe(0);
});
