import { describe, expect, it } from "vitest";
import { addMs, instant } from "./instant.ts";
import { TokenBucket } from "./token-bucket.ts";

const now = instant(5_000);

/** How many of `times` single tokens are granted `ms` after the start. */
function taken(bucket: TokenBucket, ms: number, times = 10): number {
  return Array.from({ length: times }, () => bucket.take(addMs(now, ms))).filter(Boolean).length;
}

describe("a token bucket", () => {
  it("allows its burst at once, then its rate, and saves up no more than the burst", () => {
    const bucket = new TokenBucket(8, 3);
    const granted = [0, 0, 124, 125, 250, 312, 374, 375, 60_000, 60_124].map((ms) => taken(bucket, ms));
    expect(granted).toEqual([3, 0, 0, 1, 1, 0, 0, 1, 3, 0]);
  });

  it("is full until it is used, however late that is", () => {
    const bucket = new TokenBucket(1, 2);
    expect([bucket.isFull(now), bucket.usedAt]).toEqual([true, undefined]);
    expect(taken(bucket, 1_000_000, 3)).toBe(2);
    expect(bucket.usedAt).toBe(addMs(now, 1_000_000));
    expect([1_000_999, 1_001_000, 1_001_999, 1_002_000].map((ms) => bucket.isFull(addMs(now, ms)))).toEqual([
      false,
      false,
      false,
      true,
    ]);
  });

  it("grants several tokens or none of them", () => {
    const bucket = new TokenBucket(1_000, 100);
    expect(bucket.take(now, 101)).toBe(false);
    expect(bucket.take(now, 60)).toBe(true);
    expect(bucket.take(now, 41)).toBe(false);
    expect(bucket.take(now, 40)).toBe(true);
    expect(bucket.take(addMs(now, 25), 26)).toBe(false);
    expect(bucket.take(addMs(now, 25), 25)).toBe(true);
  });

  it("refused requests cost nothing, and time that stands still or runs back adds nothing", () => {
    const bucket = new TokenBucket(1_000, 1);
    expect(taken(bucket, 0)).toBe(1);
    expect(taken(bucket, -5)).toBe(0);
    expect(bucket.take(addMs(now, -4))).toBe(true); // one millisecond after the last use
    expect(bucket.isFull(addMs(now, -10))).toBe(false);
  });
});
