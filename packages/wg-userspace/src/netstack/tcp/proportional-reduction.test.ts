import { describe, expect, test } from "vitest";
import { ProportionalReduction } from "./proportional-reduction.ts";

const MSS = 1000;

function begun(outstanding: number, inFlight: number): ProportionalReduction {
  const reduction = new ProportionalReduction();
  reduction.begin(outstanding, inFlight, MSS);
  return reduction;
}

describe("proportional rate reduction (RFC 6937)", () => {
  test("has room for the first retransmission when it begins", () => {
    expect(begun(20 * MSS, 16 * MSS).cwnd).toBe(17 * MSS);
  });

  test("sends ssthresh / flight of what was delivered while more than ssthresh is in flight", () => {
    const reduction = begun(20 * MSS, 19 * MSS);
    reduction.onSent(MSS);
    const allowed = [];
    for (let inFlight = 18; inFlight > 14; inFlight--) {
      reduction.onAck(MSS, inFlight * MSS, 10 * MSS, MSS, true);
      allowed.push(reduction.cwnd - inFlight * MSS);
    }
    // Half of 1 to 4 segments, of which one was sent: never negative.
    expect(allowed).toEqual([0, 0, 500, 1000]);
  });

  test("fills up to ssthresh when less is in flight, by one segment more than was delivered if there was progress", () => {
    const progress = begun(20 * MSS, 5 * MSS);
    progress.onSent(MSS);
    progress.onAck(2 * MSS, 4 * MSS, 10 * MSS, MSS, true);
    expect(progress.cwnd).toBe(4 * MSS + 3 * MSS);
    const none = begun(20 * MSS, 5 * MSS);
    none.onSent(MSS);
    none.onAck(2 * MSS, 4 * MSS, 10 * MSS, MSS, false);
    expect(none.cwnd).toBe(4 * MSS + MSS);
    const near = begun(20 * MSS, 10 * MSS);
    near.onSent(MSS);
    near.onAck(5 * MSS, 9 * MSS, 10 * MSS, MSS, true);
    expect(near.cwnd).toBe(10 * MSS);
  });

  test("always lets the first retransmission out", () => {
    const reduction = begun(20 * MSS, 19 * MSS);
    reduction.onAck(0, 19 * MSS, 10 * MSS, MSS, false);
    expect(reduction.cwnd).toBe(20 * MSS);
    reduction.onSent(MSS);
    reduction.onAck(0, 19 * MSS, 10 * MSS, MSS, false);
    expect(reduction.cwnd).toBe(19 * MSS);
  });

  test("counts at least one segment as outstanding, and starts from zero in the next recovery", () => {
    const reduction = begun(100, 0);
    reduction.onSent(3 * MSS);
    reduction.onAck(2 * MSS, 600, 500, MSS, true);
    expect(reduction.cwnd).toBe(600);
    reduction.begin(20 * MSS, 19 * MSS, MSS);
    reduction.onSent(MSS);
    reduction.onAck(4 * MSS, 15 * MSS, 10 * MSS, MSS, true);
    expect(reduction.cwnd).toBe(16 * MSS);
  });
});
