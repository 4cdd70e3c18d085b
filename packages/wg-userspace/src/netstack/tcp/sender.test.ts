import { describe, expect, test } from "vitest";
import { Script, type ScriptOptions, tcp } from "../../../test/scenarios/tcp-script.ts";
import { addMs } from "../../base/instant.ts";

const MSS = 1208; // 1280 - 40 - 20 - 12
const full = (count: number) => "x".repeat(MSS * count);
/** Position of the segment with that number, the first being 0. */
const edge = (segments: number) => 1 + segments * MSS;

/** Connected over a path of 100 ms, with `count` full segments just sent. */
function sending(count: number, options: ScriptOptions = {}): Script {
  const script = Script.connected({ rttMs: 100, ...options });
  script.write(full(count));
  expect(script.out()).toHaveLength(Math.min(count, 10));
  return script;
}
function later(script: Script, ms: number): Script {
  script.now = addMs(script.now, ms);
  return script;
}
/** What is sent within `ms`, as [ms, first segment, segments]. */
function sent(script: Script, ms: number): (readonly [number, number])[] {
  const start = script.now;
  return script.wait(ms).map(({ at, seq }) => [at - start, (seq - 1) / MSS] as const);
}

describe("tail loss probe (RFC 8985 §7)", () => {
  test("comes two round trips and 2 ms after the last segment, with new data when there is some", () => {
    const script = sending(3);
    expect(sent(script, 203)).toEqual([[202, 2]]);
    const more = sending(10);
    more.write(full(2));
    expect(sent(more, 203)[0]).toEqual([202, 10]);
  });

  test("waits 50 ms longer for a lone segment, which may meet a delayed acknowledgment", () => {
    expect(sent(sending(1), 253)).toEqual([[252, 0]]);
  });

  test("is sent once, and not without SACK", () => {
    const script = sending(3);
    expect(sent(script, 290).length).toBe(1);
    const without = sending(3, { peer: { sackPermitted: false } });
    expect(sent(without, 290)).toEqual([]);
    expect(sent(without, 300)[0]?.[1]).toBe(0); // the timeout sends the left edge
  });

  test.each([
    ["was lost", 4, false, true],
    ["had arrived, by its DSACK", 4, true, false],
    ["may have arrived: nothing else was acknowledged", 3, false, false],
  ])("the window is reduced when the repeated segment %s", (_name, acknowledged, dsack, reduced) => {
    const script = sending(3, tcp({ congestion: "cubic-strict" }));
    expect(sent(script, 203)).toEqual([[202, 2]]);
    script.write(full(1));
    script.out();
    later(script, 100);
    const ack = edge(acknowledged);
    script.send(dsack ? { ack, sack: [[edge(2), edge(3)]] } : { ack });
    expect(script.connection.info.ssthresh !== Number.POSITIVE_INFINITY).toBe(reduced);
  });
});

describe("retransmission timeout (RFC 6298)", () => {
  test("comes after srtt + 200 ms at least, doubles, and reduces the window once", () => {
    const script = Script.connected({ rttMs: 100, peer: { sackPermitted: false } });
    script.write("x"); // a full segment that gets no answer would be tried in pieces
    script.out();
    // The only round trip so far was 100 ms: its variance of 50 ms makes 300.
    expect(sent(script, 3_000)).toEqual([
      [300, 0],
      [900, 0],
      [2_100, 0],
    ]);
    expect(script.connection.info).toMatchObject({ recovery: "loss", cwnd: MSS, ssthresh: 10 * MSS, retransmits: 3 });
  });

  test("is put off by progress", () => {
    const script = sending(4, { peer: { sackPermitted: false } });
    script.wait(250);
    script.send({ ack: edge(1) });
    script.out();
    expect(sent(script, 299)).toEqual([]);
    expect(sent(script, 200).length).toBe(1);
  });

  test("after it the window grows by the acknowledged bytes, and everything lost is sent again", () => {
    const script = sending(6);
    script.wait(1_000);
    script.send({ ack: edge(1), timestamps: [script.now, 0] });
    const again = script.out();
    expect(again[0]).toMatchObject({ seq: edge(1) });
    expect(script.connection.info.recovery).toBe("loss");
    let ack = 1;
    for (let i = 0; i < 20 && ack < 6; i++) {
      later(script, 100);
      ack = Math.min(6, ack + 2);
      script.send({ ack: edge(ack) });
      script.out();
    }
    expect(script.connection.info).toMatchObject({ recovery: "open", bytesInFlight: 0 });
  });
});

describe("loss recovery", () => {
  /** Takes no loss for random. */
  const strict = tcp({ congestion: "cubic-strict" });

  test("begins with the third segment beyond a hole, and ends when all that was out is acknowledged", () => {
    const script = sending(10, strict);
    later(script, 100);
    script.send({ ack: 1, sack: [[edge(1), edge(2)]] });
    script.send({ ack: 1, sack: [[edge(1), edge(3)]] });
    expect(script.connection.info.recovery).toBe("open");
    script.send({ ack: 1, sack: [[edge(1), edge(4)]] });
    expect(script.connection.info.recovery).toBe("recovery");
    expect(script.out()[0]).toMatchObject({ seq: 1, length: MSS });
    later(script, 100);
    script.send({ ack: edge(9) });
    expect(script.connection.info.recovery).toBe("recovery");
    script.send({ ack: edge(10) });
    expect(script.connection.info.recovery).toBe("open");
    expect(script.connection.info.cwnd).toBe(Math.floor(script.connection.info.ssthresh));
  });

  test("with fewer segments the reorder timer decides, a quarter of a round trip later", () => {
    const script = sending(3);
    later(script, 100);
    script.send({ ack: 1, sack: [[edge(1), edge(3)]] });
    expect(script.out()).toEqual([]);
    const again = sent(script, 60);
    expect(again).toEqual([[25, 0]]);
  });

  test("sends in proportion to what arrives (RFC 6937)", () => {
    const script = sending(10, strict);
    script.write(full(20));
    later(script, 100);
    let outgoing = 0;
    script.send({ ack: 1, sack: [[edge(1), edge(4)]] });
    outgoing += script.wait(1).length;
    for (let i = 5; i <= 10; i++) {
      later(script, 1);
      script.send({ ack: 1, sack: [[edge(1), edge(i)]] });
      outgoing += script.wait(1).length;
    }
    outgoing += script.wait(60).length; // at the paced rate
    // Nine of ten arrived: at most 0.7 of the ten, and one more, may be out again.
    expect(outgoing).toBeGreaterThanOrEqual(4);
    expect(outgoing).toBeLessThanOrEqual(10);
    expect(script.connection.info.bytesInFlight).toBeLessThanOrEqual(10 * MSS);
  });

  test("that DSACKs prove spurious is undone (RFC 3522, RFC 2883)", () => {
    const script = sending(10, { ...strict, peer: { timestamps: false } });
    const mss = script.connection.info.mss;
    later(script, 100);
    script.send({ ack: 1, sack: [[1 + mss, 1 + 4 * mss]] });
    script.out();
    const before = script.connection.info;
    expect(before.recovery).toBe("recovery");
    script.send({ ack: 1 + 4 * mss });
    later(script, 100);
    script.send({ ack: 1 + 4 * mss, sack: [[1, 1 + mss]] });
    expect(script.connection.info).toMatchObject({ recovery: "open", spuriousRecoveries: 1 });
    expect(script.connection.info.ssthresh).toBe(Number.POSITIVE_INFINITY);
  });

  test("the reorder window widens with each round that a DSACK reports", () => {
    const script = sending(10);
    later(script, 100);
    script.send({ ack: edge(10) });
    expect(script.connection.info.reorderWindowMs).toBe(25);
    for (const expected of [50, 75, 100, 100]) {
      script.write(full(1));
      script.out();
      later(script, 100);
      script.send({ ack: script.peerAck, sack: [[1, edge(1)]] });
      expect(script.connection.info.reorderWindowMs).toBe(expected);
    }
  });
});

describe("pacing", () => {
  test("beyond ten segments spreads a window over half of the round trip in slow start", () => {
    const script = sending(10);
    script.write(full(40));
    later(script, 100);
    script.send({ ack: edge(10) });
    const times = sent(script, 99).map(([ms]) => ms);
    expect(times).toHaveLength(20);
    const gaps = times.slice(2).map((ms, i) => ms - times[i + 1]!);
    for (const gap of gaps) expect(gap).toBeCloseTo(100 / (2 * 20), 0);
  });

  test("is off on a path of less than 4 ms", () => {
    const script = Script.connected({ rttMs: 3 });
    script.write(full(40));
    script.out();
    later(script, 3);
    script.send({ ack: edge(10) });
    expect(script.out()).toHaveLength(20);
  });
});

describe("the peer's window", () => {
  test("a probe of a closed one is due after the timeout, then after twice as long each time up to the cap", () => {
    const script = sending(1, tcp({ maxRtoMs: 2_000 }));
    later(script, 100);
    script.send({ ack: edge(1), window: 0 });
    script.write("more");
    const times = sent(script, 8_000).map(([ms]) => ms);
    expect(times.slice(1).map((ms, i) => Math.round(ms - times[i]!))).toEqual([600, 1_200, 2_000, 2_000]);
  });

  test("an older segment does not change it, a newer one does", () => {
    const script = Script.connected({ peer: { windowScale: 0 } });
    script.send({ payload: "x", window: 5_000 });
    expect(script.connection.info.peerWindow).toBe(5_000);
    script.send({ seq: 1, window: 9_000 });
    expect(script.connection.info.peerWindow).toBe(5_000);
    script.send({ window: 7_000 });
    expect(script.connection.info.peerWindow).toBe(7_000);
  });

  test("half as large as it ever was justifies a short segment, smaller does not (RFC 1122 §4.2.3.4)", () => {
    for (const [window, count] of [
      [499, 0],
      [500, 1],
    ] as const) {
      const script = Script.connected({ peer: { windowScale: 0, window: 1_000 } });
      script.write("x".repeat(3_000));
      expect(script.out().map(({ length }) => length)).toEqual([1_000]);
      script.send({ ack: 1_001, window });
      expect(script.out()).toHaveLength(count);
    }
  });

  test("that shrinks below what is in flight stops new data", () => {
    const script = sending(4);
    script.send({ ack: 1, window: 0 });
    script.write(full(1));
    expect(script.out()).toEqual([]);
    later(script, 100);
    script.send({ ack: edge(4), window: 100 });
    expect(script.out()).toHaveLength(1);
  });
});

describe("another path", () => {
  test("starts with a new window, and the left edge is sent at once", () => {
    const script = sending(10);
    later(script, 100);
    script.send({ ack: edge(5) });
    script.out();
    expect(script.connection.info.cwnd).toBe(15 * MSS);
    script.stack.networkChanged(script.now);
    expect(script.out()[0]).toMatchObject({ seq: edge(5) });
    expect(script.connection.info).toMatchObject({ cwnd: 10 * MSS, minRttMs: Number.POSITIVE_INFINITY });
  });

  test("with larger packets is used even if the window is smaller than one of them, when nothing is in flight", () => {
    const script = Script.connected({ rttMs: 100 });
    script.stack.setMtu(200);
    script.write("x".repeat(100));
    script.out();
    script.wait(600);
    expect(script.connection.info.cwnd).toBe(128);
    script.send({ ack: 101 });
    script.stack.setMtu(1_280);
    expect(script.connection.info.cwnd).toBeLessThan(MSS);
    script.write(full(2));
    expect(script.out().map(({ length }) => length)).toEqual([MSS]);
  });

  test("with smaller packets splits what is in flight, without notifying the congestion controller", () => {
    const script = sending(2);
    script.stack.setMtu(700);
    later(script, 400);
    script.stack.handleTimeout(script.now);
    const again = script.out();
    expect(again.length).toBeGreaterThan(0);
    for (const { length } of again) expect(length).toBeLessThanOrEqual(700 - 72);
  });
});
