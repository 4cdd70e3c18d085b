import { beforeEach, describe, expect, it } from "vitest";
import { addMs, type Instant, instant } from "../base/instant.ts";
import { parseAddrPort } from "../base/ip.ts";
import { SegmentTally } from "../base/segment-tally.ts";
import { Candidate } from "./candidate.ts";
import { udpPath } from "./path.ts";
import { PathQuality } from "./path-quality.ts";

const SECOND = 1_000;
const MINUTE = 60_000;

function candidate(address = "198.51.100.1:1"): Candidate {
  return new Candidate(udpPath(parseAddrPort(address)!));
}

/** One direct path that answers, and a relay that is pinged and answers when the test decides. */
class Bench {
  now: Instant = instant(1_000_000);
  readonly tally = new SegmentTally();
  readonly quality = new PathQuality();
  readonly path = candidate();

  constructor() {
    this.quality.pathChanged(this.path, this.tally, this.now);
  }

  pass(ms: number): void {
    this.now = addMs(this.now, ms);
  }
  /** Pongs of the direct path, at once. */
  direct(rttMs: number, count = 4): void {
    for (let i = 0; i < count; i++) this.quality.directPong(rttMs, this.now);
  }
  relay(rttMs: number, count = 2): void {
    for (let i = 0; i < count; i++) this.quality.relayPong(rttMs, this.now);
  }
  /** A heartbeat now; the direct path answered the one before. Returns whether the preference changed. */
  beat(): boolean {
    this.path.lastPongAt = this.now;
    return this.quality.beat(this.tally, this.now);
  }
  /** Outcomes of heartbeats, oldest first: `1` answered, `0` lost. */
  outcomes(text: string): void {
    for (const one of text) this.path.recordOutcome(one === "1");
  }
  /** TCP's transmissions within a second, and a heartbeat at its end. */
  second(sent: number, resent: number, delivered: number, limited = true): boolean {
    this.pass(SECOND);
    this.tally.sent += sent;
    this.tally.resent += resent;
    this.tally.delivered += delivered;
    if (limited) this.tally.limitedAt = this.now;
    this.relay(20, 1);
    return this.beat();
  }
  get wants(): boolean {
    return this.quality.wantsRelayPing(this.now, false);
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe("latency", () => {
  it.each([
    ["is left beyond twice the relay's round trip plus 30 ms", 50.1, 10, true],
    ["is kept at just that", 50, 10, false],
    ["is kept when both are fast", 30, 1, false],
    ["is left for a relay that is far faster", 300, 100, true],
  ])("a direct path %s", (_name, directMs, relayMs, left) => {
    bench.relay(relayMs);
    bench.direct(directMs);
    expect(bench.beat()).toBe(left);
    expect(bench.quality.prefersRelay).toBe(left);
    expect(bench.quality.verdict).toEqual(
      left ? { reason: "latency", directRttMs: directMs, relayRttMs: relayMs, directLoss: undefined } : undefined,
    );
  });

  it("three round trips of the direct path, or one of the relay, are no evidence", () => {
    bench.relay(10);
    bench.direct(300, 3);
    expect(bench.beat()).toBe(false);
    bench.direct(300, 1);
    expect(bench.beat()).toBe(true);

    const other = new Bench();
    other.direct(300);
    other.relay(10, 1);
    expect(other.beat()).toBe(false);
    other.relay(10, 1);
    expect(other.beat()).toBe(true);
  });

  it("the smallest round trip counts: queueing delay is no reason to leave", () => {
    bench.relay(10);
    bench.direct(400, 9);
    bench.direct(20, 1);
    expect(bench.beat()).toBe(false);
  });

  it.each([
    ["that was silent for a minute", MINUTE, 0],
    ["that has not answered for three seconds", 3 * SECOND, 3 * SECOND],
  ])("a relay %s is not an alternative", (_name, quietMs, askedMs) => {
    bench.relay(10);
    bench.direct(300);
    bench.pass(quietMs - askedMs);
    if (askedMs > 0) bench.quality.relayPinged(bench.now);
    bench.pass(askedMs - 1);
    const before = bench.now;
    bench.pass(1);
    expect(bench.beat()).toBe(false);
    bench.now = before;
    expect(bench.beat()).toBe(true);
  });

  it("the direct path is taken again at one and a half times the relay's round trip plus 15 ms", () => {
    bench.relay(10);
    bench.direct(300);
    bench.beat();
    bench.direct(30.1, 1);
    expect(bench.beat()).toBe(false);
    bench.direct(30, 1);
    expect(bench.beat()).toBe(true);
    expect([bench.quality.prefersRelay, bench.quality.verdict]).toEqual([false, undefined]);
  });

  it("reports the smallest round trip by relay", () => {
    expect(bench.quality.relayRttMs).toBe(Number.POSITIVE_INFINITY);
    bench.relay(12);
    bench.relay(10);
    expect(bench.quality.relayRttMs).toBe(10);
  });
});

describe("lost heartbeats", () => {
  it.each([
    ["five of twelve", "000001111111", true],
    ["five of eleven: too few outcomes", "00000111111", false],
    ["four of twelve: too few losses", "000011111111", false],
    ["five of twenty, a quarter", `00000${"1".repeat(15)}`, true],
    ["five of twenty-one, less than a quarter", `00000${"1".repeat(16)}`, false],
  ])("%s", (_name, outcomes, left) => {
    bench.relay(20);
    bench.outcomes(outcomes);
    expect(bench.beat()).toBe(left);
    expect(bench.quality.verdict?.reason).toBe(left ? "loss" : undefined);
    if (left) expect(bench.quality.verdict?.resent).toBeUndefined();
  });

  it("the path is taken again after 30 s, when fifteen of the last sixteen heartbeats were answered", () => {
    bench.relay(20);
    bench.outcomes("000001111111");
    bench.beat();
    bench.outcomes(`0${"1".repeat(15)}`);
    bench.pass(30 * SECOND - 1);
    expect(bench.beat()).toBe(false);
    bench.pass(1);
    bench.outcomes("00");
    expect(bench.beat()).toBe(false); // fourteen
    bench.outcomes("1".repeat(15));
    expect(bench.beat()).toBe(true);
    expect(bench.quality.prefersRelay).toBe(false);
  });

  it("a return takes sixteen outcomes, however few were lost", () => {
    bench.relay(20);
    bench.outcomes("0000000");
    bench.outcomes("11111");
    bench.beat();
    const fresh = candidate("198.51.100.1:2"); // another port of the same address
    bench.quality.pathChanged(fresh, bench.tally, bench.now);
    for (let i = 0; i < 15; i++) fresh.recordOutcome(true);
    bench.pass(MINUTE);
    expect(bench.beat()).toBe(false);
    fresh.recordOutcome(true);
    expect(bench.beat()).toBe(true);
  });
});

describe("a relay that is used by choice", () => {
  beforeEach(() => {
    bench.relay(10);
    bench.direct(300);
    bench.beat();
    bench.pass(10 * SECOND);
    bench.quality.relayPinged(bench.now);
  });

  it("is left after 3 s without an answer, not before", () => {
    bench.pass(1_000);
    bench.quality.relayPinged(bench.now); // the first unanswered one counts
    bench.pass(1_999);
    expect(bench.beat()).toBe(false);
    bench.pass(1);
    expect(bench.beat()).toBe(true);
    expect(bench.quality.prefersRelay).toBe(false);
  });

  it("stays while the direct path is silent for as long", () => {
    bench.path.lastPongAt = bench.now;
    bench.pass(3_000);
    expect(bench.quality.beat(bench.tally, bench.now)).toBe(false);
    bench.path.lastPongAt = addMs(bench.now, -2_999);
    expect(bench.quality.beat(bench.tally, bench.now)).toBe(true);
  });

  it("stays when it answers in time", () => {
    bench.pass(2_999);
    bench.relay(10, 1);
    bench.pass(10_000);
    expect(bench.beat()).toBe(false);
  });

  it("is not tried for its rate within the next 30 s", () => {
    bench.pass(3_000);
    bench.beat();
    bench.quality.pathChanged(candidate("198.51.100.2:1"), bench.tally, bench.now); // this one is not slow
    const losing = () => bench.second(50, 10, 1_000);
    for (let i = 0; i < 29; i++) expect(losing()).toBe(false);
    expect(losing()).toBe(true);
  });
});

describe("when the relay is pinged", () => {
  it("while it is in use by choice: with every heartbeat when data flows, else before half a minute is over", () => {
    bench.relay(10);
    bench.direct(300);
    bench.beat();
    expect(bench.quality.wantsRelayPing(bench.now, true)).toBe(true);
    expect(bench.wants).toBe(false);
    bench.pass(30 * SECOND);
    expect(bench.wants).toBe(false);
    bench.pass(1);
    expect(bench.wants).toBe(true);
  });

  it("not for a healthy direct path, nor without one", () => {
    bench.direct(10);
    expect(bench.quality.wantsRelayPing(bench.now, true)).toBe(false);
    expect(new PathQuality().wantsRelayPing(bench.now, true)).toBe(false);
  });

  it("for a direct path that loses heartbeats, until two answers confirm the relay and again when they are a minute old", () => {
    bench.outcomes("000001111111");
    expect(bench.wants).toBe(true);
    bench.relay(20, 1);
    expect(bench.wants).toBe(true);
    bench.relay(20, 1);
    expect(bench.wants).toBe(false);
    bench.pass(MINUTE - 1);
    expect(bench.wants).toBe(false);
    bench.pass(1);
    expect(bench.wants).toBe(true);
  });

  it("for a direct path that seems slow, which takes a first answer by relay to tell", () => {
    bench.direct(300);
    expect(bench.wants).toBe(false);
    bench.relay(10, 1);
    expect(bench.wants).toBe(true);
  });

  it("for a direct path on which TCP retransmits much", () => {
    bench.pass(SECOND);
    bench.tally.sent += 50;
    bench.beat();
    expect(bench.wants).toBe(false);
    bench.pass(SECOND);
    bench.tally.sent += 50;
    bench.tally.resent += 10;
    bench.beat();
    expect(bench.wants).toBe(true);
  });
});

describe("what TCP experiences", () => {
  /** Whether three seconds like this one start a trial. */
  function startsTrial(sent: number, resent: number, limited = true): boolean {
    bench.relay(20);
    for (let i = 0; i < 2; i++) expect(bench.second(sent, resent, 1_000, limited)).toBe(false);
    return bench.second(sent, resent, 1_000, limited);
  }

  it.each([
    ["8 % sent again, in any case", 50, 4, false, true],
    ["less, while nothing held the data back", 100, 7, false, false],
    ["5 %, while the path is what limits the sender", 100, 5, true, true],
    ["less than 5 %", 100, 4, true, false],
    ["a hundred segments in all", 34, 30, true, true],
    ["fewer than a hundred", 33, 30, true, false],
  ])("three samples with %s: is the relay tried?", (_name, sent, resent, limited, tried) => {
    expect(startsTrial(sent, resent, limited)).toBe(tried);
    expect([bench.quality.prefersRelay, bench.quality.verdict]).toEqual([tried, undefined]);
  });

  it("a hundred segments are enough, in three samples of any size", () => {
    bench.relay(20);
    bench.second(34, 30, 1_000);
    bench.second(33, 30, 1_000);
    expect(bench.second(33, 30, 1_000)).toBe(true);
  });

  it("a good sample between restarts the count", () => {
    bench.relay(20);
    bench.second(100, 50, 1_000);
    bench.second(100, 50, 1_000);
    bench.second(100, 0, 1_000);
    bench.second(100, 50, 1_000);
    expect(bench.second(100, 50, 1_000)).toBe(false);
    expect(bench.second(100, 50, 1_000)).toBe(true);
  });

  it("a sample covers twenty segments at least, whatever time they take up to 10 s", () => {
    bench.relay(20);
    bench.second(100, 50, 1_000);
    bench.second(100, 50, 1_000);
    for (let i = 0; i < 9; i++) expect(bench.second(2, 2, 100)).toBe(false);
    expect(bench.second(1, 1, 100)).toBe(false); // nineteen after exactly 10 s
    expect(bench.second(0, 0, 0)).toBe(false); // after 11 s neither this sample nor the two before count
    expect(bench.second(100, 20, 100)).toBe(false);
    expect(bench.second(100, 20, 100)).toBe(false);
    expect(bench.second(100, 20, 100)).toBe(true);
  });

  it("twenty segments that took 10 s are a sample", () => {
    bench.relay(20);
    bench.second(100, 50, 1_000);
    bench.second(100, 50, 1_000);
    for (let i = 0; i < 9; i++) expect(bench.second(2, 2, 100)).toBe(false);
    expect(bench.second(2, 2, 100)).toBe(true);
  });

  it("what held the sender back before the sample began does not count", () => {
    bench.relay(20);
    for (let i = 0; i < 3; i++) {
      bench.second(100, 0, 1_000);
      expect(bench.second(100, 6, 1_000, false)).toBe(bench.second(100, 6, 1_000, false));
    }
    expect(bench.quality.prefersRelay).toBe(false);
  });
});

describe("a trial of the relay", () => {
  /** On the direct path: 1 byte per ms, and `resent` of a hundred segments per second are retransmissions. */
  function start(resent: number): void {
    bench.relay(20);
    for (let i = 0; i < 3; i++) bench.second(100, resent, 1_000);
    expect([bench.quality.prefersRelay, bench.quality.verdict]).toEqual([true, undefined]);
  }
  /**
   * One second for the window to grow, then two seconds with these figures. Returns the reason to stay, undefined for
   * none.
   */
  function outcome(sent: number, resent: number, delivered: number): string | undefined {
    expect(bench.second(1_000, 0, 1_000_000)).toBe(false);
    expect(bench.second(sent / 2, resent / 2, delivered / 2)).toBe(false);
    const changed = bench.second(sent / 2, resent / 2, delivered / 2);
    expect(changed).toBe(!bench.quality.prefersRelay);
    return bench.quality.verdict?.reason;
  }

  it.each([
    ["twice as much was delivered", 6, 200, 12, 4_000, "rate"],
    ["less than twice as much", 6, 200, 0, 3_999, undefined],
    ["a quarter more than on a path that loses 8 %", 8, 200, 16, 2_500, "rate"],
    ["less than a quarter more, and as much lost", 8, 200, 8, 2_499, undefined],
    ["nearly as much with less than half of the loss", 8, 200, 7, 1_600, "loss"],
    ["less than nearly as much", 8, 200, 7, 1_599, undefined],
    ["nearly as much of what lost little before", 7, 200, 0, 1_600, undefined],
    ["twice as much in twenty segments", 6, 20, 0, 4_000, "rate"],
    ["twice as much in eighteen", 6, 18, 0, 4_000, undefined],
  ])("%s", (_name, directResent, sent, resent, delivered, reason) => {
    start(directResent);
    expect(outcome(sent, resent, delivered)).toBe(reason);
  });

  it("the verdict contains both rates and the share that was sent again", () => {
    start(10);
    expect(outcome(200, 0, 6_000)).toBe("rate");
    expect(bench.quality.verdict).toStrictEqual({
      reason: "rate",
      directRttMs: Number.POSITIVE_INFINITY,
      relayRttMs: 20,
      directLoss: undefined,
      resent: 0.1,
      directRate: 1,
      relayRate: 3,
    });
  });

  it("without success is repeated after 30 s, then 60, then ever more rarely up to 10 min", () => {
    start(10);
    const waits = [30, 60, 120, 240, 480, 600, 600].map((expected) => {
      expect(outcome(200, 20, 2_000)).toBeUndefined();
      let seconds = 1;
      while (!bench.second(100, 10, 1_000) && seconds < 2 * expected) seconds++;
      return seconds;
    });
    expect(waits).toEqual([30, 60, 120, 240, 480, 600, 600]);
  });

  it("of a flow that ended in the meantime proves nothing: the wait does not double", () => {
    start(10);
    for (let i = 0; i < 3; i++) {
      expect(outcome(10, 1, 100)).toBeUndefined();
      let seconds = 1;
      while (!bench.second(100, 10, 1_000) && seconds < 100) seconds++;
      expect(seconds).toBe(30);
    }
  });

  it("that was won makes the next wait short again", () => {
    start(10);
    outcome(200, 20, 2_000);
    for (let i = 0; i < 30; i++) bench.second(100, 10, 1_000);
    expect(outcome(200, 0, 6_000)).toBe("rate");
    bench.quality.relayChanged();
    bench.relay(20);
    bench.second(100, 0, 1_000);
    start(10);
    expect(outcome(200, 20, 2_000)).toBeUndefined();
    let seconds = 1;
    while (!bench.second(100, 10, 1_000) && seconds < 100) seconds++;
    expect(seconds).toBe(30);
  });

  it("ends when the relay falls silent", () => {
    start(10);
    bench.quality.relayPinged(bench.now);
    bench.pass(3 * SECOND);
    expect(bench.beat()).toBe(true);
    expect(bench.quality.prefersRelay).toBe(false);
  });
});

describe("a return to the direct path", () => {
  /** Leaves for a relay that delivers 2.5 bytes per ms, and returns after the hold-off; gives its length in seconds. */
  function back(): number {
    bench.outcomes("1".repeat(16));
    let seconds = 1;
    while (!bench.second(100, 0, 2_500)) {
      bench.outcomes("1");
      if (++seconds > 2_000) throw new Error("never returned");
    }
    return seconds;
  }
  beforeEach(() => {
    bench.relay(20);
    for (let i = 0; i < 3; i++) bench.second(100, 10, 1_000);
    for (let i = 0; i < 3; i++) bench.second(100, 0, 2_500);
    expect(bench.quality.verdict?.reason).toBe("rate");
  });

  it("comes after 30 s with clean heartbeats", () => {
    expect(back()).toBe(30);
  });

  it("is on probation: two bad samples that are slower than the relay lead back to it, for twice as long each time", () => {
    const holds = [60, 120, 240, 480, 600, 600].map(() => {
      back();
      expect(bench.second(40, 10, 1_000)).toBe(false);
      expect(bench.second(40, 10, 1_000)).toBe(true);
      expect(bench.quality.verdict).toMatchObject({ reason: "rate", resent: 0.25, directRate: 1, relayRate: 2.5 });
      const seconds = back();
      expect(bench.second(40, 10, 1_000)).toBe(false);
      expect(bench.second(40, 10, 1_000)).toBe(true);
      return seconds;
    });
    expect(holds.at(-1)).toBe(600);
    expect(holds[0]).toBe(60);
  });

  it.each([
    ["less than 0.8 of what the relay delivered, in two samples", 1_999, true],
    ["as much as that", 2_000, false],
  ])("on probation: %s", (_name, delivered, leaves) => {
    back();
    expect(bench.second(20, 10, delivered)).toBe(false);
    expect(bench.second(20, 10, delivered)).toBe(leaves);
  });

  it("has succeeded after a minute: going back takes a trial, and the next return comes after 30 s again", () => {
    back();
    for (let i = 0; i < 2; i++) bench.second(40, 10, 1_000);
    expect(back()).toBe(60);
    for (let i = 0; i < 60; i++) expect(bench.second(100, 0, 2_500)).toBe(false);
    for (let i = 0; i < 2; i++) expect(bench.second(100, 20, 1_000)).toBe(false);
    expect(bench.second(100, 20, 1_000)).toBe(true);
    expect(bench.quality.verdict).toBeUndefined(); // a trial
    for (let i = 0; i < 3; i++) bench.second(100, 0, 2_500);
    expect(back()).toBe(30);
  });

  it("is on probation for a minute, not longer", () => {
    back();
    for (let i = 0; i < 57; i++) bench.second(100, 0, 2_500);
    bench.second(40, 10, 1_000);
    expect(bench.second(40, 10, 1_000)).toBe(true); // after 59 s
    back();
    for (let i = 0; i < 58; i++) bench.second(100, 0, 2_500);
    bench.second(40, 10, 1_000);
    expect(bench.second(40, 10, 1_000)).toBe(false); // after 60 s
  });

  it("lost heartbeats beside a flow are not a reason, as long as TCP loses little itself", () => {
    const loaded = new Bench();
    loaded.outcomes("0".repeat(12));
    expect(loaded.second(100, 0, 2_500)).toBe(false);
    loaded.pass(3_000);
    loaded.relay(20, 1);
    expect(loaded.beat()).toBe(false);
    loaded.pass(1);
    expect([loaded.beat(), loaded.quality.verdict?.reason]).toEqual([true, "loss"]);
  });

  it("on probation ends with lost heartbeats too, and the verdict then contains no TCP figures", () => {
    back();
    bench.outcomes("0".repeat(12));
    expect(bench.second(100, 0, 2_500)).toBe(true);
    expect(bench.quality.verdict).toEqual({
      reason: "loss",
      directRttMs: Number.POSITIVE_INFINITY,
      relayRttMs: 20,
      directLoss: expect.any(Number), // of the heartbeats; TCP gave no reason
    });
    expect(back()).toBe(60);
  });
});

describe("the scope of a decision", () => {
  beforeEach(() => {
    bench.relay(10);
    bench.direct(300);
    bench.beat();
    expect(bench.quality.prefersRelay).toBe(true);
  });

  it("another port of the same address leads over the same lines", () => {
    bench.quality.pathChanged(candidate("198.51.100.1:2"), bench.tally, bench.now);
    expect(bench.quality.prefersRelay).toBe(true);
  });

  it("another address is another path: its round trips are measured again", () => {
    bench.quality.pathChanged(candidate("198.51.100.2:1"), bench.tally, bench.now);
    expect(bench.quality.prefersRelay).toBe(false);
    expect(bench.beat()).toBe(false);
    bench.direct(300, 3);
    expect(bench.beat()).toBe(false);
  });

  it("another relay is a new alternative: nothing is known about it", () => {
    bench.quality.relayPinged(bench.now);
    bench.quality.relayChanged();
    expect([bench.quality.prefersRelay, bench.quality.relayRttMs]).toEqual([false, Number.POSITIVE_INFINITY]);
    bench.pass(5 * SECOND);
    expect(bench.beat()).toBe(false);
    bench.relay(10, 1);
    expect(bench.beat()).toBe(false);
    bench.relay(10, 1);
    expect(bench.beat()).toBe(true);
  });

  it("a network change ends everything", () => {
    bench.quality.reset();
    expect([bench.quality.prefersRelay, bench.quality.relayRttMs]).toEqual([false, Number.POSITIVE_INFINITY]);
    expect(bench.quality.wantsRelayPing(bench.now, true)).toBe(false);
    bench.quality.pathChanged(candidate(), bench.tally, bench.now);
    bench.relay(10);
    bench.direct(300, 3);
    expect(bench.beat()).toBe(false);
  });
});
