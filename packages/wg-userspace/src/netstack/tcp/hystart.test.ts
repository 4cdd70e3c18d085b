import { expect, test } from "vitest";
import { HyStart } from "./hystart.ts";

/** A round of samples, each for two segments of 500 bytes. @returns the growth that the last of them allowed. */
function round(hystart: HyStart, samples: readonly number[]): number {
  hystart.onRoundStart();
  let growth = 0;
  for (const rttMs of samples) growth = hystart.growth(1000, 2, rttMs);
  return growth;
}

function constant(rttMs: number, length = 16): number[] {
  return new Array<number>(length).fill(rttMs);
}

test("slow start slows down when the round trip grows by an eighth, and ends after a full round of that", () => {
  const hystart = new HyStart();
  expect(round(hystart, constant(100))).toBe(1000);
  expect(round(hystart, constant(111))).toBe(1000);
  expect(round(hystart, constant(130))).toBe(125);
  hystart.onRoundStart();
  expect(hystart.done).toBe(false);
  hystart.onRoundStart();
  expect(hystart.done).toBe(true);
});

test("a queue that grows within a round is seen in that round, although its first samples saw none", () => {
  const hystart = new HyStart();
  round(hystart, constant(100));
  expect(round(hystart, [...constant(100), ...constant(113, 8)])).toBe(125);
  expect(hystart.conservative).toBe(true);
});

test("one round trip without queue puts an end to conservative slow start", () => {
  const hystart = new HyStart();
  round(hystart, constant(100));
  expect(round(hystart, constant(120))).toBe(125);
  expect(hystart.growth(1000, 2, 112)).toBe(1000);
  hystart.onRoundStart();
  hystart.onRoundStart();
  expect(hystart.done).toBe(false);
});

test("jitter of 10 ms on a path of 20 ms does not end slow start", () => {
  const hystart = new HyStart();
  let x = 1;
  for (let r = 0; r < 50; r++) {
    const samples = constant(20, 100).map((rttMs) => {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      return rttMs + (10 * x) / 2 ** 32;
    });
    round(hystart, samples);
  }
  expect(hystart.done).toBe(false);
});

test("two acknowledgments of a batch of segments are enough of a sample", () => {
  const hystart = new HyStart();
  round(hystart, constant(100));
  hystart.onRoundStart();
  hystart.growth(64_000, 64, 120);
  expect(hystart.growth(64_000, 64, 120)).toBe(8000);
});

test("nothing is compared before there is a round to compare with, nor after a reset", () => {
  const hystart = new HyStart();
  expect(round(hystart, [...constant(10), ...constant(100)])).toBe(1000);
  round(hystart, constant(300));
  hystart.reset();
  expect(round(hystart, constant(500))).toBe(1000);
});
