import { describe, expect, it } from "vitest";
import { RelayDrain } from "./relay-drain.ts";

const END_MS = 10_000;
const STEP_MS = 100;

/** When each connection ended, and whether it was busy. @param packets How many packets a connection has carried at a time. */
function ends(ids: readonly number[], packets: (id: number, elapsedMs: number) => number, random = Math.random) {
  const drain = new RelayDrain(ids, END_MS, random);
  const ended = new Map<number, { readonly atMs: number; readonly isBusy: boolean }>();
  let atMs = 0;
  for (; !drain.isOver; atMs += STEP_MS) {
    expect(atMs).toBeLessThanOrEqual(END_MS);
    for (const { id, isBusy } of drain.step(atMs, (each) => packets(each, atMs))) ended.set(id, { atMs, isBusy });
  }
  return ended;
}

describe("connections of a relay that restarts", () => {
  const ids = Array.from({ length: 50 }, (_, i) => i);

  it("end in the first half of the time while they are idle", () => {
    const ended = ends(ids, () => 7);
    expect(ended.size).toBe(ids.length);
    for (const { atMs, isBusy } of ended.values()) {
      expect(isBusy).toBe(false);
      expect(atMs).toBeLessThanOrEqual(END_MS / 2 + STEP_MS);
    }
    expect(Math.max(...[...ended.values()].map(({ atMs }) => atMs))).toBeGreaterThan(END_MS / 4);
  });

  it("end in the second half while they carry packets, spread as well", () => {
    const ended = ends(ids, (id, elapsedMs) => id + elapsedMs);
    const times = [...ended.values()].map(({ atMs }) => atMs);
    expect([...ended.values()].every(({ isBusy }) => isBusy)).toBe(true);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(END_MS / 2);
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(END_MS / 4);
  });

  it("end once they fall idle", () => {
    const [end] = ends(
      [1],
      (_, elapsedMs) => Math.min(elapsedMs, 6_000),
      () => 0.9,
    ).values();
    expect(end).toEqual({ atMs: 6_300, isBusy: false });
  });

  it("are over at once if there are none", () => {
    expect(new RelayDrain([], END_MS, Math.random).isOver).toBe(true);
  });
});
