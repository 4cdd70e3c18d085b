import { describe, expect, test } from "vitest";
import { Pacer } from "./pacer.ts";

describe("a pacer", () => {
  test("spreads a window over a round trip: over half of one in slow start, four fifths after", () => {
    for (const [slowStart, spreadMs] of [
      [true, 50],
      [false, 80],
    ] as const) {
      const pacer = new Pacer();
      for (let i = 0; i < 10; i++) pacer.onSent(1_000, 10_000, slowStart, 100, 1_000);
      expect(pacer.dueAt).toBeCloseTo(1_000 + spreadMs);
    }
  });

  test("may run ahead by the resolution of a timer, and saves up nothing in a pause", () => {
    const pacer = new Pacer();
    pacer.onSent(1_000, 10_000, true, 100, 1_000);
    expect([pacer.dueAt, pacer.mustWait(1_003.9), pacer.mustWait(1_004)]).toEqual([1_005, true, false]);
    pacer.onSent(1_000, 10_000, true, 100, 2_000);
    expect(pacer.dueAt).toBe(2_005);
  });

  test("does not pace round trips that are unknown or below 4 ms, and treats those above a second as one second", () => {
    const pacer = new Pacer();
    pacer.onSent(1_000, 10_000, true, undefined, 1_000);
    pacer.onSent(1_000, 10_000, true, 3.9, 1_000);
    expect(pacer.dueAt).toBe(0);
    pacer.onSent(1_000, 10_000, true, 4, 1_000);
    expect(pacer.dueAt).toBeCloseTo(1_000.2);
    pacer.onSent(1_000, 10_000, true, 5_000, 2_000);
    expect(pacer.dueAt).toBe(2_050);
  });
});
