import { describe, expect, test } from "vitest";
import { instant } from "../../base/instant.ts";
import { type LossContext, MAX_CWND_BYTES, windowAfterIdle } from "./congestion.ts";
import { Cubic } from "./cubic.ts";
import { Reno } from "./reno.ts";

const at = instant;
const MSS = 1_000;

/** A loss on a path of 100 ms without a queue, at a rate too high to be random. */
const loss: LossContext = {
  inFlight: 0,
  lossRate: 0.5,
  queueAtLoss: 0,
  pathRate: 1e6,
  rttMs: 100,
  roundMinRttMs: 100,
  minRttMs: 100,
};
const queued: LossContext = { ...loss, roundMinRttMs: 150 };

describe("an idle window (RFC 2861)", () => {
  test.each([
    [80_000, 299, 80_000],
    [80_000, 300, 40_000],
    [80_000, 899, 20_000],
    [80_000, 1_200, 10_000],
    [5_000, 10_000, 5_000],
    [1e12, 1e9, 10_000],
  ])("of %i bytes after %i ms at a timeout of 300 is %i", (cwnd, idleMs, left) => {
    expect(windowAfterIdle(cwnd, MSS, idleMs, 300)).toBe(left);
  });
});

describe("Reno (RFC 5681)", () => {
  test("adds one segment per window once it is at ssthresh", () => {
    const reno = new Reno(MSS);
    reno.cwnd = reno.ssthresh = 10_000;
    reno.onAck(1_000);
    expect(reno.cwnd).toBe(10_100);
    reno.cwnd = 9_999;
    reno.onAck(1_000);
    expect(reno.cwnd).toBe(10_999);
  });

  test("never exceeds the largest window", () => {
    const reno = new Reno(MSS);
    reno.cwnd = MAX_CWND_BYTES - 10;
    reno.onAck(1_000);
    expect(reno.cwnd).toBe(MAX_CWND_BYTES);
  });

  test("halves on loss and on a timeout, not below two segments", () => {
    const reno = new Reno(MSS);
    reno.onLoss(loss);
    expect([reno.ssthresh, reno.cwnd]).toEqual([5_000, 10_000]);
    reno.cwnd = 3_000;
    reno.onTimeout(loss);
    expect([reno.ssthresh, reno.cwnd]).toEqual([2_000, 1_000]);
    reno.cwnd = 3_000;
    reno.onLoss(loss);
    expect(reno.ssthresh).toBe(2_000);
  });

  test("undoes the last reduction once, and keeps the growth since", () => {
    const reno = new Reno(MSS);
    reno.undo();
    expect(reno.cwnd).toBe(10_000);
    reno.onLoss(loss);
    reno.onRecovered();
    expect(reno.cwnd).toBe(5_000);
    reno.undo();
    expect([reno.cwnd, reno.ssthresh]).toEqual([10_000, Number.POSITIVE_INFINITY]);
    reno.cwnd = 4_000;
    reno.undo();
    expect(reno.cwnd).toBe(4_000);
    reno.onTimeout(loss);
    reno.cwnd = 6_000;
    reno.undo();
    expect(reno.cwnd).toBe(6_000);
  });

  test("remembers three quarters of an idle window, starts over on another path, and counts in the new MSS", () => {
    const reno = new Reno(MSS);
    reno.onLoss(loss);
    reno.cwnd = 40_000;
    reno.onIdle(600, 300);
    expect([reno.cwnd, reno.ssthresh]).toEqual([10_000, 30_000]);
    reno.onIdle(1, 300);
    expect(reno.ssthresh).toBe(30_000);
    reno.setMss(500);
    reno.reset(at(0));
    expect([reno.cwnd, reno.ssthresh]).toEqual([5_000, Number.POSITIVE_INFINITY]);
    reno.cwnd = 1;
    reno.undo();
    expect(reno.cwnd).toBe(1);
  });
});

describe("CUBIC (RFC 9438)", () => {
  test("doubles per round trip below ssthresh, up to the largest window", () => {
    const cubic = new Cubic(MSS, true);
    cubic.onAck(10_000, 100, at(0));
    expect(cubic.cwnd).toBe(20_000);
    cubic.onTimeout(loss, at(0));
    cubic.onAck(1_000, 100, at(1));
    expect(cubic.cwnd).toBe(2_000);
    cubic.reset();
    cubic.cwnd = MAX_CWND_BYTES - 10;
    cubic.onAck(10_000, 100, at(0));
    expect(cubic.cwnd).toBe(MAX_CWND_BYTES);
  });

  test("ends the first slow start when the round trip has grown for a round (RFC 9406)", () => {
    const cubic = new Cubic(MSS, true);
    for (let round = 0; round < 8 && cubic.ssthresh === Number.POSITIVE_INFINITY; round++) {
      cubic.onRoundStart();
      for (let i = 0; i < 10; i++) cubic.onAck(2_000, round < 3 ? 100 : 100 + 20 * (round - 2), at(100 * round));
    }
    expect(cubic.ssthresh).toBeGreaterThan(80_000);
    expect(cubic.cwnd - cubic.ssthresh).toBeLessThan(MSS); // and avoids congestion from there
  });

  test("follows the cubic through the old maximum: concave before K, convex behind", () => {
    const cubic = new Cubic(MSS, true);
    cubic.cwnd = 1_000_000;
    cubic.onLoss(loss, at(0));
    cubic.onRecovered();
    const k = Math.cbrt(300 / 0.4);
    const windowAt = (seconds: number) => 1_000_000 + 0.4 * MSS * (seconds - k) ** 3;
    for (let now = 0; now <= 14_000; now += 100) {
      for (let i = 0; i < 20; i++) cubic.onAck(cubic.cwnd / 20, 100, at(now));
      const expected = windowAt(now / 1_000 + 0.1); // a round trip ahead (§4.4)
      expect(Math.abs(cubic.cwnd - expected)).toBeLessThan(0.015 * expected);
    }
  });

  test("grows by half per round trip at most", () => {
    const cubic = new Cubic(MSS, true);
    cubic.cwnd = 100_000;
    cubic.onLoss(loss, at(0));
    cubic.onRecovered();
    cubic.onAck(1, 100, at(0));
    const before = cubic.cwnd;
    cubic.onAck(before, 100, at(60_000)); // the cubic is far beyond
    expect(cubic.cwnd).toBeCloseTo(1.5 * before);
  });

  test("is never slower than Reno would be (§4.3)", () => {
    const cubic = new Cubic(MSS, true);
    cubic.cwnd = 20_000;
    cubic.onLoss(loss, at(0));
    cubic.onRecovered();
    expect(cubic.cwnd).toBe(14_000);
    // On a path of 1 ms the cubic hardly grows: Reno's estimate counts, 0.53 segments per window, and one from the old
    // maximum on.
    let est = 14_000;
    for (let i = 0; i < 30; i++) {
      const alpha = est >= 20_000 ? 1 : (3 * 0.3) / 1.7;
      est += alpha * MSS * (1_000 / cubic.cwnd) * (cubic.cwnd / 1_000);
      for (let sent = 0, window = cubic.cwnd; sent < window; sent += 1_000) cubic.onAck(1_000, 1, at(i));
    }
    expect(Math.abs(cubic.cwnd - est)).toBeLessThan(0.02 * est);
    expect(cubic.cwnd).toBeGreaterThan(30_000);
  });

  test("a second loss below the old maximum makes room for another flow (§4.7)", () => {
    const cubic = new Cubic(MSS, true);
    cubic.cwnd = 100_000;
    cubic.onLoss(loss, at(0));
    cubic.onRecovered();
    cubic.onLoss(loss, at(1));
    cubic.onRecovered();
    // The maximum is 0.85 of 70 kB now: from 49 kB it takes the cube root of 10.5 / 0.4 s to get there.
    const k = Math.cbrt(10.5 / 0.4);
    let reachedAt = 0;
    for (let now = 0; reachedAt === 0 && now < 10_000; now += 10) {
      for (let i = 0; i < 10; i++) cubic.onAck(cubic.cwnd / 100, 100, at(now));
      if (cubic.cwnd >= 59_400) reachedAt = now;
    }
    expect(reachedAt / 1_000).toBeGreaterThan(k - 1.2);
    expect(reachedAt / 1_000).toBeLessThan(k + 0.5);
  });

  test("falls to 0.7, not below two segments with a queue, nor below ten without", () => {
    for (const [context, strict, ssthresh] of [
      [queued, false, 2_000],
      [loss, false, 10_000],
      [loss, true, 2_000],
    ] as const) {
      const cubic = new Cubic(MSS, strict);
      cubic.ssthresh = 5_000;
      cubic.cwnd = 2_500;
      cubic.onTimeout(context, at(0));
      expect([cubic.ssthresh, cubic.cwnd]).toEqual([ssthresh, MSS]);
      cubic.ssthresh = 5_000;
      cubic.cwnd = 2_500;
      expect(cubic.onLoss(context, at(0))).toBe(true);
      expect(cubic.ssthresh).toBe(ssthresh);
    }
  });

  test("a queue is a round trip of more than an eighth, or a millisecond, above the shortest", () => {
    const random = { ...loss, lossRate: 0.001 };
    const reduces = (roundMinRttMs: number, minRttMs: number) =>
      new Cubic(MSS, false).onLoss({ ...random, roundMinRttMs, minRttMs }, at(0));
    expect([reduces(112.5, 100), reduces(112.6, 100)]).toEqual([false, true]);
    expect([reduces(3, 2), reduces(3.1, 2)]).toEqual([false, true]);
    expect(reduces(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)).toBe(true); // nothing is known
  });

  test("losses are random below 2 % where the queue is less than half full at them", () => {
    const reduces = (lossRate: number, queueAtLoss: number) =>
      new Cubic(MSS, false).onLoss({ ...loss, lossRate, queueAtLoss }, at(0));
    expect([reduces(0.0199, 0.49), reduces(0.02, 0.49), reduces(0.0199, 0.5)]).toEqual([false, true, true]);
  });

  test("the first slow start is limited to the bytes delivered in the last round trip, later losses are not", () => {
    const context = { ...queued, pathRate: 100, rttMs: 1_000, minRttMs: 100 };
    const first = new Cubic(MSS, false);
    first.cwnd = 200_000;
    first.onLoss(context, at(0));
    expect(first.ssthresh).toBeCloseTo(70_000); // 0.7 of 100 kB
    const later = new Cubic(MSS, false);
    later.ssthresh = 100_000;
    later.cwnd = 200_000;
    later.onLoss(context, at(0));
    expect(later.ssthresh).toBeCloseTo(140_000);
    const wide = new Cubic(MSS, false);
    wide.cwnd = 50_000;
    wide.onLoss(context, at(0));
    expect(wide.ssthresh).toBeCloseTo(35_000); // 0.7 of the window is less
  });

  test("undoes the last reduction once, with the curve it was on", () => {
    const cubic = new Cubic(MSS, true);
    cubic.undo();
    expect(cubic.cwnd).toBe(10_000);
    cubic.onLoss(loss, at(0));
    cubic.onRecovered();
    cubic.undo();
    expect([cubic.cwnd, cubic.ssthresh]).toEqual([10_000, Number.POSITIVE_INFINITY]);
    cubic.cwnd = 3_000;
    cubic.undo();
    expect(cubic.cwnd).toBe(3_000);
    cubic.cwnd = cubic.ssthresh = 50_000;
    cubic.onTimeout(loss, at(0));
    cubic.cwnd = 60_000;
    cubic.undo();
    expect([cubic.cwnd, cubic.ssthresh]).toEqual([60_000, 50_000]);
  });

  test("a pause stops the clock of the curve, and three quarters of the window are remembered (§5.8)", () => {
    const cubic = new Cubic(MSS, true);
    cubic.cwnd = 100_000;
    cubic.onLoss(loss, at(0));
    cubic.onRecovered();
    cubic.onAck(1, 100, at(0));
    cubic.onIdle(60_000, 300);
    expect([cubic.cwnd, cubic.ssthresh]).toEqual([10_000, 70_000]);
    cubic.cwnd = 120_000;
    cubic.onIdle(100, 300);
    expect([cubic.cwnd, cubic.ssthresh]).toEqual([120_000, 90_000]);
    cubic.onAck(12_000, 100, at(60_000));
    expect(cubic.cwnd).toBeLessThan(121_000); // not what 60 s of growth would be
    const young = new Cubic(MSS, true);
    young.onIdle(60_000, 300);
    expect(young.ssthresh).toBe(Number.POSITIVE_INFINITY);
  });

  test("another path starts over: no maximum, no curve, nothing to undo", () => {
    const cubic = new Cubic(MSS, true);
    cubic.cwnd = 1_000_000;
    cubic.onLoss(loss, at(0));
    cubic.onRecovered();
    cubic.reset();
    expect([cubic.cwnd, cubic.ssthresh]).toEqual([10_000, Number.POSITIVE_INFINITY]);
    cubic.undo();
    expect(cubic.cwnd).toBe(10_000);
    cubic.ssthresh = 10_000;
    cubic.onAck(10_000, 100, at(0));
    expect(cubic.cwnd).toBeLessThan(12_000); // the old maximum of a megabyte no longer counts
    cubic.setMss(100);
    cubic.reset();
    expect(cubic.cwnd).toBe(1_000);
  });
});
