import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { WakeDetector } from "./clock.ts";

describe("WakeDetector", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["Date", "performance"] }));
  afterEach(() => void vi.useRealTimers());

  it("does not take a busy machine for a suspended one, at either pace", () => {
    const detector = new WakeDetector();
    for (const [expected, passed] of [
      [1_000, 1_000],
      [1_000, 4_900],
      [5_000, 5_000],
      [5_000, 8_900],
    ] as const) {
      vi.advanceTimersByTime(passed);
      expect(detector.tick(expected)).toBe(0);
    }
  });

  it("notices a suspend and its end", () => {
    const detector = new WakeDetector();
    vi.advanceTimersByTime(5_100);
    expect(detector.tick(1_000)).toBe(5_100);
    vi.advanceTimersByTime(90_000);
    expect(detector.tick(5_000)).toBe(90_000);
    vi.advanceTimersByTime(5_000);
    expect(detector.tick(5_000)).toBe(0);
  });

  it("notices a suspend even at a tick that comes long before the next one is due", () => {
    const detector = new WakeDetector();
    vi.advanceTimersByTime(2_000);
    vi.setSystemTime(Date.now() + 4_000);
    expect(detector.tick(18_000)).toBe(0);
    vi.advanceTimersByTime(2_000);
    vi.setSystemTime(Date.now() + 4_001);
    expect(detector.tick(18_000)).toBe(6_001);
  });

  it("notices a suspend that stopped the monotonic clock", () => {
    const detector = new WakeDetector();
    vi.setSystemTime(Date.now() + 60_000);
    expect(detector.tick(1_000)).toBe(60_000);
  });
});
