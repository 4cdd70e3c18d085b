/** Waits, limits and undo of the sending half, against a scripted peer. The rest is in sender.test.ts. */
import { describe, expect, test } from "vitest";
import { Script, type ScriptOptions, tcp } from "../../../test/scenarios/tcp-script.ts";
import { addMs } from "../../base/instant.ts";

const MSS = 1208; // 1280 - 40 - 20 - 12
const full = (count: number) => "x".repeat(MSS * count);
/** Position of the segment with that number, the first being 0. */
const edge = (segments: number) => 1 + segments * MSS;
const strict = tcp({ congestion: "cubic-strict" });

function connected(options: ScriptOptions = {}): Script {
  return Script.connected({ rttMs: 100, ...options });
}
function later(script: Script, ms: number): Script {
  script.now = addMs(script.now, ms);
  return script;
}
/** One round trip in which everything is acknowledged. */
function round(script: Script, text: string): void {
  script.write(text);
  script.wait(100);
  script.send({ ack: script.peerAck });
  script.out();
}

/** Acknowledges every segment 100 ms after it was sent, but for those that are lost the first time. */
class Peer {
  readonly #script: Script;
  readonly #arriving: { readonly seq: number; readonly end: number; readonly at: number }[] = [];
  readonly #held: [number, number][] = [];
  readonly lost = new Set<number>();
  #ack: number;

  constructor(script: Script) {
    this.#script = script;
    this.#ack = script.peerAck;
  }

  /** @returns what was sent in the meantime: [time, sequence number]. */
  run(ms: number): (readonly [number, number])[] {
    const script = this.#script;
    const sent: (readonly [number, number])[] = [];
    for (let i = 0; i < ms; i++) {
      for (const { seq, length, at } of script.wait(1)) {
        sent.push([at, seq]);
        if (!this.lost.delete(seq)) this.#arriving.push({ seq, end: seq + length, at: at + 100 });
      }
      while (this.#arriving.length > 0 && this.#arriving[0]!.at <= script.now) this.#receive(this.#arriving.shift()!);
    }
    return sent;
  }

  #receive({ seq, end }: { readonly seq: number; readonly end: number }): void {
    if (seq > this.#ack) {
      const last = this.#held.at(-1);
      if (last?.[1] === seq) last[1] = end;
      else this.#held.push([seq, end]);
    } else this.#ack = Math.max(this.#ack, end);
    while (this.#held.length > 0 && this.#held[0]![0] <= this.#ack)
      this.#ack = Math.max(this.#ack, this.#held.shift()![1]);
    this.#script.send({ ack: this.#ack, sack: this.#held.slice(-3).reverse() });
  }
}

describe("small segments", () => {
  test("wait for outstanding data with Nagle's algorithm (RFC 9293 §3.7.4), and are sent at once without it", () => {
    for (const [noDelay, counts] of [
      [false, [1, 0, 0, 1]],
      [true, [1, 1, 1, 0]],
    ] as const) {
      const script = connected({ options: { noDelay } });
      const seen: number[] = [];
      for (const word of ["a", "b", "c"]) {
        script.write(word);
        seen.push(script.out().length);
      }
      later(script, 100);
      script.send({ ack: script.peerAck });
      seen.push(script.out().length);
      expect([noDelay, seen]).toEqual([noDelay, counts]);
    }
  });

  test("held back by Nagle are sent with the end of the stream", () => {
    const script = connected({ options: { noDelay: false } });
    script.write("a");
    script.out();
    script.write("b");
    expect(script.out()).toEqual([]);
    script.connection.end();
    expect(script.out().map(({ flags, payload }) => [flags.includes("F"), payload])).toEqual([[true, "b"]]);
  });
});

describe("the end of the stream", () => {
  test("needs room in the peer's window beyond the last byte", () => {
    const script = connected({ peer: { windowScale: 0, window: 500 } });
    script.write("x".repeat(500));
    script.connection.end();
    expect(script.out().map(({ flags, length }) => [flags.includes("F"), length])).toEqual([[false, 500]]);
    script.send({ ack: 501, window: 500 });
    expect(script.out().map(({ flags, length }) => [flags.includes("F"), length])).toEqual([[true, 0]]);
  });
});

describe("a window that stays closed", () => {
  test("lets data go at once when it opens, and ends the probes", () => {
    const script = connected();
    round(script, "x");
    script.send({ window: 0 });
    script.write(full(1));
    expect(script.wait(2_000).every(({ length }) => length <= 1)).toBe(true);
    script.send({ window: 65_535 });
    expect(script.out().map(({ length }) => length)).toEqual([MSS]);
    later(script, 100);
    script.send({ ack: script.peerAck });
    expect(script.wait(20_000)).toEqual([]);
  });

  test("restarts the probes from the first interval when it closes again", () => {
    const script = connected({ peer: { windowScale: 0 } });
    round(script, "x");
    script.send({ window: 0 });
    script.write("more");
    expect(script.wait(4_000)).toHaveLength(3); // after 0.3, 0.9 and 2.1 s
    script.send({ window: 1 });
    script.out();
    script.send({ window: 0 });
    const start = script.now;
    expect(script.wait(1_000).map(({ at }) => Math.round(at - start))).toEqual([300, 900]);
  });

  test("that is small is filled when the wait for a larger one ends", () => {
    const script = connected({ peer: { windowScale: 0, window: 1_000 } });
    script.write("x".repeat(1_000));
    script.out();
    script.send({ ack: 1_001, window: 100 });
    script.write("y".repeat(300));
    expect(script.out()).toEqual([]);
    const [forced] = script.wait(400);
    expect(forced).toMatchObject({ seq: 1_001, length: 100 });
  });

  test("ends the connection at the user timeout", () => {
    const script = connected({ options: { userTimeoutMs: 5_000 } });
    round(script, "x");
    script.send({ window: 0 });
    script.write("more");
    script.out();
    script.wait(4_999);
    expect(script.events.filter((event) => event.startsWith("closed"))).toEqual([]);
    script.wait(2);
    expect(script.events.at(-1)).toMatch(/^closed /);
  });

  test("counts the user timeout from the last segment of the peer", () => {
    const script = connected({ options: { userTimeoutMs: 5_000 } });
    round(script, "x");
    script.send({ window: 0 });
    script.write("more");
    script.out();
    for (let i = 0; i < 4; i++) {
      script.wait(4_000);
      script.send({ window: 0 });
      script.out();
    }
    expect(script.events.filter((event) => event.startsWith("closed"))).toEqual([]);
  });

  test("is probed at once when the network is back", () => {
    const script = connected();
    round(script, "x");
    script.send({ window: 0 });
    script.write("more");
    script.wait(3_000);
    script.stack.networkChanged(script.now);
    expect(script.out()).toHaveLength(1);
  });
});

describe("the user timeout", () => {
  test("ends a connection whose data is not acknowledged, not a moment earlier", () => {
    const script = connected({ options: { userTimeoutMs: 7_000 } });
    script.write("x");
    script.out();
    script.wait(6_999);
    expect(script.events.filter((event) => event.startsWith("closed"))).toEqual([]);
    script.wait(1);
    expect(script.events.at(-1)).toMatch(/^closed /);
  });

  test("restarts with every acknowledgment", () => {
    const script = connected({ options: { userTimeoutMs: 1_000 } });
    script.write(full(3));
    script.out();
    for (const segments of [1, 2]) {
      script.wait(900);
      script.send({ ack: edge(segments) });
      script.out();
    }
    script.wait(900);
    expect(script.events.filter((event) => event.startsWith("closed"))).toEqual([]);
    script.wait(101);
    expect(script.events.at(-1)).toMatch(/^closed /);
  });
});

describe("the congestion window", () => {
  test("does not grow while only a small part of it is used (RFC 7661)", () => {
    const script = connected();
    for (let i = 0; i < 20; i++) round(script, full(2));
    expect(script.connection.info.cwnd).toBe(10 * MSS);
    round(script, full(10));
    expect(script.connection.info.cwnd).toBe(20 * MSS);
  });

  test("shrinks after a pause longer than the timeout, down to its beginning (RFC 5681 §4.1)", () => {
    const script = connected();
    for (const segments of [10, 20, 40]) {
      script.write(full(segments));
      for (let left = segments; left > 0; ) {
        left -= script.wait(100).length;
        script.send({ ack: script.peerAck });
      }
    }
    const { cwnd } = script.connection.info;
    expect(cwnd).toBeGreaterThan(30 * MSS);
    script.wait(60_000);
    script.write(full(1));
    script.out();
    expect(script.connection.info.cwnd).toBeLessThan(cwnd);
    expect(script.connection.info.cwnd).toBeGreaterThanOrEqual(10 * MSS);
    const short = connected();
    round(short, full(10));
    short.wait(100);
    short.write(full(1));
    short.out();
    expect(short.connection.info.cwnd).toBe(20 * MSS);
  });
});

describe("the reorder window (RFC 8985 §6.2)", () => {
  /** A loss that a DSACK later proves spurious. */
  function reported(script: Script): void {
    script.write(full(1));
    script.out();
    later(script, 100);
    script.send({ ack: script.peerAck, sack: [[1, edge(1)]] });
  }
  /** One of two segments is lost, and repaired. */
  function lossRecovered(script: Script): void {
    const base = script.peerAck;
    script.write(full(2));
    script.wait(90);
    later(script, 60);
    script.send({ ack: base, sack: [[base + MSS, base + 2 * MSS]] });
    expect(script.wait(155).map(({ seq }) => seq)).toEqual([base]);
    script.send({ ack: base + 2 * MSS });
  }

  test("is widened once in a round trip", () => {
    const script = connected();
    round(script, full(10));
    script.write(full(2));
    script.wait(100);
    script.send({ ack: edge(11), sack: [[1, edge(1)]] });
    const once = script.connection.info.reorderWindowMs;
    script.send({ ack: edge(11), sack: [[1, edge(1)]] });
    expect(script.connection.info.reorderWindowMs).toBe(once);
    expect(once).toBe(50);
  });

  test("stays wide for sixteen recoveries", () => {
    const script = connected(strict);
    round(script, full(10));
    reported(script);
    const wide = script.connection.info.reorderWindowMs;
    expect(wide).toBe(50);
    const widths: number[] = [];
    for (let i = 0; i < 17; i++) {
      lossRecovered(script);
      expect(script.connection.info.recovery).toBe("open");
      widths.push(script.connection.info.reorderWindowMs);
    }
    // In quarters of the shortest round trip, which is 100 ms apart from pacing.
    expect(widths.map((ms) => Math.round(ms / 25))).toEqual([...new Array(15).fill(2), 1, 1]);
  });
});

describe("a spurious timeout", () => {
  /** Four segments, `count` timeouts, and an answer that echoes what `echo` says: the original's time or the retransmission's. */
  function afterTimeouts(count: number, echo: "original" | "retransmission"): Script {
    const script = connected({ ...strict, peer: { timestamps: true } });
    round(script, full(10)); // the window is known to carry twenty
    script.write(full(4));
    const originals = script.out();
    const resent = [];
    while (resent.length < count) resent.push(...script.wait(1_000).filter(({ seq }) => seq === originals[0]!.seq));
    const answered = echo === "original" ? originals[0]! : resent.at(-1)!;
    script.send({ ack: originals[0]!.seq + MSS, timestamps: [Math.floor(script.now), answered.timestamps![0]] });
    return script;
  }

  test("is undone when the answer is to the original (RFC 3522)", () => {
    const { info } = afterTimeouts(1, "original").connection;
    expect(info).toMatchObject({ recovery: "open", spuriousRecoveries: 1, ssthresh: Number.POSITIVE_INFINITY });
    expect(info.cwnd).toBeGreaterThanOrEqual(20 * MSS);
  });

  test("sends nothing again once undone, and is not undone a second time by the DSACK of its retransmission (RFC 2883)", () => {
    const script = afterTimeouts(1, "original");
    const first = script.peerAck - 4 * MSS;
    expect(script.out()).toEqual([]);
    script.send({ ack: first + MSS, sack: [[first, first + MSS]] });
    expect(script.out()).toEqual([]);
    expect(script.connection.info).toMatchObject({ recovery: "open", spuriousRecoveries: 1 });
  });

  test("is kept when the answer is to the retransmission", () => {
    const { info } = afterTimeouts(1, "retransmission").connection;
    expect(info).toMatchObject({ recovery: "loss", spuriousRecoveries: 0 });
    expect(info.ssthresh).toBeLessThan(20 * MSS);
  });

  test("is kept after more than two: the path may be another one", () => {
    expect(afterTimeouts(3, "original").connection.info).toMatchObject({ spuriousRecoveries: 0 });
  });
});

describe("proportional rate reduction (RFC 6937)", () => {
  test("always sends the first retransmission", () => {
    const script = connected(strict);
    script.write(full(10));
    script.out();
    later(script, 100);
    script.send({ ack: 1, sack: [[edge(1), edge(4)]] });
    expect(script.wait(1).map(({ seq }) => seq)).toContain(1);
  });

  test("has sent seven tenths of what was out when all of it has arrived", () => {
    const script = connected(strict);
    const peer = new Peer(script);
    script.write(full(200));
    peer.run(350);
    script.write(full(200));
    const { ssthresh } = script.connection.info;
    expect(ssthresh).toBe(Number.POSITIVE_INFINITY);
    const first = script.peerAck;
    peer.lost.add(first);
    for (let left = 1_000; script.connection.info.recovery === "open" && left > 0; left--) {
      script.write(full(20)); // as much as fits
      peer.run(1);
    }
    const flight = script.connection.info.bytesInFlight / MSS;
    const recovery: number[] = [];
    while (script.connection.info.recovery === "recovery") {
      script.write(full(20));
      recovery.push(...peer.run(1).map(([, seq]) => seq));
    }
    expect(recovery[0]).toBe(first);
    const share = recovery.length / flight;
    expect(share).toBeGreaterThan(0.6);
    expect(share).toBeLessThan(0.7);
    const { cwnd, ssthresh: reduced, bytesInFlight } = script.connection.info;
    expect(Math.abs(cwnd - reduced)).toBeLessThan(MSS);
    // When the recovery ends, what is in flight fits the reduced window: nothing is sent in a burst, and nothing is held back.
    expect(bytesInFlight).toBeLessThanOrEqual(reduced);
  });
});

test("the loss rate counts from the last recovery: one more lost segment is no congestion then", () => {
  const script = connected();
  const peer = new Peer(script);
  script.write(full(200));
  peer.run(350);
  script.write(full(200));
  const first = script.peerAck;
  for (let i = 0; i < 15; i++) peer.lost.add(first + i * MSS);
  peer.run(1_500);
  const { recovery, ssthresh, retransmits } = script.connection.info;
  expect([recovery, ssthresh < Number.POSITIVE_INFINITY, retransmits]).toEqual(["open", true, 15]);
  script.write(full(20));
  peer.lost.add(script.peerAck);
  peer.run(1_500);
  expect(script.connection.info).toMatchObject({ recovery: "open", ssthresh, retransmits: 16 });
});

describe("the paced rate", () => {
  test("is a quarter above the window's after slow start", () => {
    const script = connected(strict);
    round(script, full(10));
    const base = script.peerAck;
    script.write(full(10));
    script.wait(60);
    script.send({ ack: base, sack: [[base + MSS, base + 10 * MSS]] });
    script.wait(100);
    script.send({ ack: base + 10 * MSS });
    expect(script.connection.info).toMatchObject({ recovery: "open" });
    script.write(full(60));
    const times = script.wait(200).map(({ at }) => at);
    const gaps = times.slice(1).map((at, i) => at - times[i]!);
    const segments = script.connection.info.cwnd / MSS;
    const median = gaps.sort((a, b) => a - b)[gaps.length >> 1]!;
    const { srttMs } = script.connection.info;
    expect(median).toBeCloseTo(srttMs! / (1.25 * segments), 0);
  });
});
