import { expect, test } from "vitest";
import { LossRate } from "./loss-rate.ts";

const MSS = 1000;
const CWND = 10 * MSS;

test("a few losses are not a high rate: it is measured over 512 segments at least", () => {
  const rate = new LossRate();
  rate.onDelivered(29 * MSS, CWND, MSS);
  rate.onLost(MSS);
  expect(rate.value(CWND, MSS)).toBeCloseTo(1 / 512, 6);
});

test("the rate of a large window is measured over one window", () => {
  const rate = new LossRate();
  rate.onLost(30 * MSS);
  expect(rate.value(3000 * MSS, MSS)).toBeCloseTo(0.01, 6);
});

test("the rate follows recent losses", () => {
  const rate = new LossRate();
  const run = (segments: number, oneIn: number) => {
    for (let i = 1; i <= segments; i++) {
      if (i % oneIn === 0) rate.onLost(MSS);
      else rate.onDelivered(MSS, CWND, MSS);
    }
  };
  run(3000, 100);
  expect(rate.value(CWND, MSS)).toBeCloseTo(0.01, 2);
  run(3000, 20);
  expect(rate.value(CWND, MSS)).toBeGreaterThan(0.035);
});

test("a late arrival undoes its loss", () => {
  const rate = new LossRate();
  rate.onLost(2 * MSS);
  rate.onNeedless(MSS);
  expect(rate.value(CWND, MSS)).toBeCloseTo(1 / 512, 6);
  rate.onNeedless(5 * MSS);
  expect(rate.value(CWND, MSS)).toBe(0);
});

test("an acknowledged segment does not count again", () => {
  const rate = new LossRate();
  rate.onLost(500 * MSS);
  rate.clear();
  expect(rate.value(CWND, MSS)).toBe(0);
});
