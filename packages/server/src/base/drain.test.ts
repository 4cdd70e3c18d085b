import { describe, expect, it } from "vitest";
import { drainTimes } from "./drain-times.ts";
import { endGradually, turnsOf } from "./gradual-end.ts";

/** A seeded generator of numbers from 0 to 1 (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("the course of a stop", () => {
  it("lets a balancer notice for 5 s, ends what is connected over 10 s, and is over after 25 s", () => {
    expect(drainTimes(5_000, true, true)).toEqual({ serveMs: 5_000, endMs: 10_000, exitMs: 25_000 });
  });

  it("is shorter with a shorter drain, and never ends connections over more than 10 s", () => {
    expect(drainTimes(1_000, true, true)).toEqual({ serveMs: 1_000, endMs: 2_000, exitMs: 13_000 });
    expect(drainTimes(30_000, true, true)).toEqual({ serveMs: 30_000, endMs: 10_000, exitMs: 50_000 });
  });

  it("has no drain where no other server could take the clients, or where it is switched off", () => {
    const none = { serveMs: 0, endMs: 0, exitMs: undefined };
    expect(drainTimes(5_000, false, false)).toEqual(none);
    expect(drainTimes(0, true, false)).toEqual(none);
  });

  it("is over after 10 s in any case where a database server may not answer", () => {
    const limited = { serveMs: 0, endMs: 0, exitMs: 10_000 };
    expect(drainTimes(5_000, false, true)).toEqual(limited);
    expect(drainTimes(0, true, true)).toEqual(limited);
  });
});

describe("the turns of connections that end", () => {
  const items = Array.from({ length: 1_000 }, (_, i) => i);

  it("come to each once, spread evenly over the whole time", () => {
    const turns = turnsOf(items, 10_000, numbers(1));
    expect(turns.map(({ item }) => item).toSorted((a, b) => a - b)).toEqual(items);
    for (const [at, { atMs }] of turns.entries()) expect(Math.floor(atMs / 10)).toBe(at);
  });

  it("are in another order each time", () => {
    const orders = [1, 2].map((seed) => turnsOf(items, 1, numbers(seed)).map(({ item }) => item));
    expect(orders[0]).not.toEqual(orders[1]);
    expect(orders[0]).not.toEqual(items);
  });

  it("put each item at every position equally often", () => {
    const random = numbers(3);
    const first = [0, 0, 0];
    for (let i = 0; i < 3_000; i++) first[turnsOf([0, 1, 2], 1, random)[0]!.item]!++;
    for (const count of first) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });

  it("are none without connections", () => {
    expect(turnsOf([], 10_000, numbers(1))).toEqual([]);
  });
});

it("ends each connection at its turn, and no further ones once it is aborted", async () => {
  const ended: number[] = [];
  const stop = new AbortController();
  const turns = [0, 1, 3_600_000].map((atMs, item) => ({ item, atMs }));
  const ending = endGradually(
    turns,
    (item) => {
      ended.push(item);
      if (item === 1) setImmediate(() => stop.abort());
    },
    stop.signal,
  );
  await ending;
  expect(ended).toEqual([0, 1]);
});
