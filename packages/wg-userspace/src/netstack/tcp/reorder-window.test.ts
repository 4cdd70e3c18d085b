import { describe, expect, test } from "vitest";
import { ReorderWindow } from "./reorder-window.ts";

describe("the reorder window", () => {
  test("is a quarter of the least round trip, and a whole one at most", () => {
    const window = new ReorderWindow();
    expect(window.lengthMs(100, 120)).toBe(25);
    for (let i = 0; i < 100; i++) window.widen(i, i + 1);
    expect(window.lengthMs(100, 120)).toBe(120);
    expect(window.lengthMs(1, 120)).toBe(16); // the factor is 64 at most
    expect(window.lengthMs(100, undefined)).toBe(0);
  });

  test("grows once per round trip", () => {
    const window = new ReorderWindow();
    window.widen(10, 50);
    window.widen(10, 60);
    window.widen(49, 90);
    expect(window.lengthMs(100, 1_000)).toBe(50);
    window.widen(50, 90);
    expect(window.lengthMs(100, 1_000)).toBe(75);
  });

  test("keeps its width for 16 recoveries after the last time that it grew", () => {
    const window = new ReorderWindow();
    window.onRecovered();
    window.widen(0, 10);
    for (let i = 0; i < 15; i++) window.onRecovered();
    window.widen(10, 20);
    for (let i = 0; i < 15; i++) window.onRecovered();
    expect(window.lengthMs(100, 1_000)).toBe(75);
    window.onRecovered();
    expect(window.lengthMs(100, 1_000)).toBe(25);
    window.widen(20, 30);
    window.onRecovered();
    expect(window.lengthMs(100, 1_000)).toBe(50);
  });
});
