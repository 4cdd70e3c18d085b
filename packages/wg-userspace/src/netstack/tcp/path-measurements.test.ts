import { describe, expect, test } from "vitest";
import { instant } from "../../base/instant.ts";
import { PathMeasurements } from "./path-measurements.ts";

const MSS = 1000;
const CWND = 10 * MSS;

/** A path of 80 ms whose queue has grown to 40 ms, with a loss at its fullest. */
function busyPath(): PathMeasurements {
  const path = new PathMeasurements(10_000);
  for (let ms = 1; ms <= 40; ms++) {
    path.onRtt(80 + ms, 1);
    path.onDelivered(MSS, CWND, MSS, instant(ms));
  }
  path.onLost(8 * MSS);
  path.onFirstLoss();
  return path;
}

describe("the measurements of a path", () => {
  test("tell a congestion controller everything that a loss is judged by", () => {
    const context = busyPath().lossContext(5 * MSS, CWND, MSS);
    expect(context).toMatchObject({ inFlight: 5 * MSS, rttMs: 120, roundMinRttMs: 81, minRttMs: 81 });
    expect(context.lossRate).toBeCloseTo(8 / 512, 6);
    expect(context.pathRate).toBeCloseTo(MSS);
    expect(context.queueAtLoss).toBeCloseTo((36 / 36) * (1 / 4), 1);
  });

  test("know no round trip before the first sample", () => {
    const path = new PathMeasurements(10_000);
    expect([path.minRttMs, path.rtt.srttMs]).toEqual([0, undefined]);
    path.onRtt(80, 1);
    expect([path.minRttMs, path.rtt.srttMs]).toEqual([80, 80]);
  });

  test("keep the least round trip of this round and of the one before", () => {
    const path = new PathMeasurements(10_000);
    const least = () => path.lossContext(0, CWND, MSS).roundMinRttMs;
    path.onRtt(50, 1);
    path.onRtt(90, 1);
    path.onRoundStart();
    path.onRtt(70, 1);
    path.onRtt(75, 1);
    expect(least()).toBe(50);
    path.onRoundStart();
    expect(least()).toBe(70);
    path.onRoundStart();
    expect(least()).toBe(Number.POSITIVE_INFINITY);
  });

  test("take back a loss that was only late, and count no loss twice", () => {
    const path = busyPath();
    path.onNeedless(6 * MSS);
    expect(path.lossContext(0, CWND, MSS).lossRate).toBeCloseTo(2 / 512, 6);
    path.onRecovered();
    expect(path.lossContext(0, CWND, MSS)).toMatchObject({ lossRate: 0, minRttMs: 81 });
  });

  test("begin again with another path", () => {
    const path = busyPath();
    path.moved();
    expect(path.lossContext(0, CWND, MSS)).toMatchObject({
      lossRate: 0,
      pathRate: 0,
      queueAtLoss: 0,
      roundMinRttMs: Number.POSITIVE_INFINITY,
      minRttMs: Number.POSITIVE_INFINITY,
    });
    path.onRoundStart();
    expect(path.lossContext(0, CWND, MSS).roundMinRttMs).toBe(Number.POSITIVE_INFINITY);
  });
});
