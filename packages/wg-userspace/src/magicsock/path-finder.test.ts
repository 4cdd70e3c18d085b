import { describe, expect, it } from "vitest";
import { addMs, type Instant, instant } from "../base/instant.ts";
import { formatAddrPort, parseAddrPort } from "../base/ip.ts";
import type { Candidate } from "./candidate.ts";
import { MAX_CANDIDATES } from "./candidate-list.ts";
import { type UdpPath, udpPath } from "./path.ts";
import { PathFinder } from "./path-finder.ts";

const LAN = "192.168.1.2:7000";
const LAN2 = "192.168.1.3:7000";
const PUBLIC = "203.0.113.9:9";
const PADDED = 1310;
const at = (text: string): UdpPath => udpPath(parseAddrPort(text)!);

interface Probe {
  readonly ms: number;
  readonly to: string;
  /** `open` for an opening packet, `small`, or the payload bytes. */
  readonly what: string;
  readonly sample: boolean;
}

interface Options {
  readonly maxMtu?: number;
  readonly turn?: "earlier" | "later";
  /** Endpoints named by the coordinator. */
  readonly named?: readonly string[];
}

/** One finder whose prober records its calls. Times are ms since the start. */
class Bench {
  readonly start = instant(1_000_000);
  now: Instant = this.start;
  readonly probes: Probe[] = [];
  readonly relayPings: number[] = [];
  readonly calls: number[] = [];
  readonly stuck: number[] = [];
  readonly suspected: number[] = [];
  readonly changes: [ms: number, chosen: boolean][] = [];
  /** Whether a probe to the address may be sent. */
  allowed = true;
  hasRelay = true;
  wakeAt = Number.POSITIVE_INFINITY;
  /** Probes of the usual size are answered after this many ms; undefined: never. */
  answersAfterMs: number | undefined;
  readonly #answers: { readonly at: Instant; readonly answer: () => void }[] = [];
  readonly finder: PathFinder<string>;

  constructor({ maxMtu = 1280, turn = "earlier", named = [LAN] }: Options = {}) {
    this.finder = new PathFinder("owner", maxMtu, turn, {
      probe: (_finder, candidate, bytes, ttl, sample) => {
        if (!this.allowed) return false;
        const what = ttl !== undefined ? `open ${ttl}` : bytes === undefined ? "small" : String(bytes);
        this.probes.push({ ms: this.ms, to: formatAddrPort(candidate.path.address), what, sample });
        const rttMs = this.answersAfterMs;
        if (rttMs !== undefined && bytes === PADDED)
          this.#answers.push({
            at: addMs(this.now, rttMs),
            answer: () => this.finder.pongReceived(candidate, rttMs, bytes, sample, this.now),
          });
        return true;
      },
      pingRelay: () => this.relayPings.push(this.ms) > 0 && this.hasRelay,
      callMeMaybe: () => void this.calls.push(this.ms),
      wakeAt: (wake) => {
        this.wakeAt = wake;
      },
      stuck: () => void this.stuck.push(this.ms),
      suspected: () => void this.suspected.push(this.ms),
      pathChanged: (_finder, chosen) => void this.changes.push([this.ms, chosen]),
    });
    this.finder.setCoordinatorEndpoints(named.map(at), this.now);
  }

  get ms(): number {
    return this.now - this.start;
  }
  candidate(text: string): Candidate {
    return this.finder.candidates.find(({ path }) => formatAddrPort(path.address) === text)!;
  }
  get names(): string[] {
    return this.finder.candidates.map(({ path }) => formatAddrPort(path.address));
  }
  /** Lets time pass; answers arrive and deadlines are handled at their times, those at the end included. */
  pass(ms: number): void {
    const end = addMs(this.now, ms);
    for (;;) {
      const answerAt = this.#answers[0]?.at ?? Number.POSITIVE_INFINITY;
      const next = Math.min(answerAt, this.finder.deadline);
      if (next > end) break;
      if (next > this.now) this.now = instant(next);
      if (answerAt === next) this.#answers.shift()!.answer();
      else this.finder.handleTimeout(this.now);
    }
    this.now = end;
  }
  send(data = false): void {
    this.finder.noteSent(data, this.now);
  }
  pong(text = LAN, rttMs = 0, bytes = PADDED, sample = false): void {
    this.finder.pongReceived(this.candidate(text), rttMs, bytes, sample, this.now);
  }
  /** A direct path by LAN that is in use from now on; earlier records are cleared. */
  connected(rttMs = 0, data = false): this {
    this.send(data);
    this.pass(0);
    this.pong(LAN, rttMs);
    this.forget();
    return this;
  }
  forget(): void {
    for (const list of [this.probes, this.relayPings, this.calls, this.stuck, this.suspected, this.changes])
      list.length = 0;
  }
  times(what: string, to = LAN): number[] {
    return this.probes.filter((one) => one.what === what && one.to === to).map(({ ms }) => ms);
  }
}

describe("the search", () => {
  const ATTEMPTS = [0, 400, 1_000, 2_000, 4_000, 7_000, 10_000, 13_000, 18_000, 23_000, 28_000, 36_000, 44_000];

  it("begins with the first message, at growing gaps, and ends 45 s after the last one", () => {
    const bench = new Bench();
    bench.pass(10_000);
    expect([bench.probes, bench.finder.deadline]).toEqual([[], Number.POSITIVE_INFINITY]);
    const begin = bench.ms;
    bench.send();
    bench.pass(100_000);
    expect(bench.times("1310").map((ms) => ms - begin)).toEqual(ATTEMPTS);
    expect(bench.finder.deadline).toBe(Number.POSITIVE_INFINITY);
    bench.forget();
    bench.send();
    bench.pass(500);
    expect(bench.times("1310")).toHaveLength(2); // restarted
  });

  it("goes on every 8 s for as long as messages leave", () => {
    const bench = new Bench();
    for (let i = 0; i < 10; i++) {
      bench.send();
      bench.pass(10_000);
    }
    expect(bench.times("1310")).toEqual([...ATTEMPTS, 52_000, 60_000, 68_000, 76_000, 84_000, 92_000, 100_000]);
    expect(bench.finder.attempts).toBe(20);
  });

  it("asks the peer to do the same with every attempt but the second, and keeps the relay warm every 25 s", () => {
    const bench = new Bench();
    bench.send();
    bench.pass(44_500);
    expect(bench.calls).toEqual(ATTEMPTS.filter((ms) => ms !== 400));
    expect(bench.relayPings).toEqual([0, 30_000]); // with a heartbeat of 15 s
  });

  it("tries small packets from the third attempt on, three to each candidate that the coordinator named", () => {
    const bench = new Bench({ named: [LAN, LAN2] });
    bench.finder.calledBy([at("10.0.0.7:7")], bench.now);
    bench.send();
    bench.pass(500);
    bench.pong(LAN2); // answers full-size packets
    bench.finder.portChanged(bench.now); // the search restarts
    bench.forget();
    const begin = bench.ms;
    bench.pass(30_000);
    expect(bench.times("small").map((ms) => ms - begin)).toEqual([1_000, 2_000, 4_000]);
    expect([bench.times("small", LAN2), bench.times("small", "10.0.0.7:7")]).toEqual([[], []]);
  });

  it("a small packet that may not be sent is not counted", () => {
    const bench = new Bench();
    bench.send();
    bench.allowed = false;
    bench.pass(5_000);
    bench.allowed = true;
    bench.pass(20_000);
    expect(bench.times("small")).toEqual([7_000, 10_000, 13_000]);
    expect(bench.candidate(LAN)).toMatchObject({ smallPingsSent: 3, pingsSent: bench.times("1310").length });
  });

  it("counts as stuck after 7 and 36 s, or after 18 and 60 s on the other side", () => {
    for (const [turn, stuck] of [
      ["earlier", [7_000, 36_000]],
      ["later", [18_000, 60_000]],
    ] as const) {
      const bench = new Bench({ turn });
      for (let i = 0; i < 9; i++) {
        bench.send();
        bench.pass(10_000);
      }
      expect(bench.stuck).toEqual(stuck);
    }
  });

  it("is not stuck without candidates, nor when one answered within 5 s", () => {
    const none = new Bench({ named: [] });
    none.send();
    none.pass(10_000);
    expect([none.stuck, none.calls.length]).toEqual([[], 6]);
    for (const [ago, stuck] of [
      [4_999, []],
      [5_000, [7_000]],
    ] as const) {
      const bench = new Bench();
      bench.send();
      bench.pass(6_900);
      bench.candidate(LAN).lastPongAt = addMs(bench.start, 7_000 - ago);
      bench.pass(1_000);
      expect(bench.stuck).toEqual(stuck);
    }
  });

  it("a candidate gets no second probe within 350 ms", () => {
    const bench = new Bench();
    bench.send();
    bench.pass(51);
    bench.finder.calledBy([at(LAN)], bench.now); // 51 ms after the first
    bench.pass(300);
    expect(bench.times("1310")).toEqual([0]);
    bench.finder.calledBy([at(LAN)], bench.now);
    expect(bench.times("1310")).toEqual([0, 351]);
    bench.pass(349);
    expect(bench.times("1310")).toEqual([0, 351]); // not with the attempt at 400
  });
});

describe("routers", () => {
  it("our own is opened 400 ms before a probe is let through, if the peer may have one too", () => {
    const bench = new Bench({ named: [PUBLIC, LAN, "[2001:db8::9]:9"] });
    bench.send();
    bench.pass(399);
    expect(bench.probes.map(({ to, what }) => `${to} ${what}`)).toEqual([
      `${PUBLIC} open 2`,
      `${LAN} 1310`,
      "[2001:db8::9]:9 1310",
    ]);
    bench.pass(1);
    expect(bench.times("1310", PUBLIC)).toEqual([400]);
    expect(bench.candidate(PUBLIC).pingsSent).toBe(1);
  });

  it("a ping of the peer shows that the way is open", () => {
    const bench = new Bench({ named: [PUBLIC] });
    bench.finder.pingReceived(at(PUBLIC), bench.now);
    bench.forget();
    bench.pass(400);
    bench.send();
    bench.pass(0);
    expect(bench.probes.map(({ what }) => what)).toEqual(["1310"]);
  });

  it("a call of the peer shows that its router is open: ours is opened and a probe follows at once", () => {
    const bench = new Bench({ named: [] });
    bench.send();
    bench.pass(100);
    bench.finder.calledBy([at(PUBLIC), at(LAN)], bench.now);
    expect(bench.probes.map(({ to, what }) => `${to} ${what}`)).toEqual([
      `${PUBLIC} open 2`,
      `${PUBLIC} 1310`,
      `${LAN} 1310`,
    ]);
    bench.forget();
    bench.pass(400); // the attempt at 400 comes too soon for another one
    expect(bench.probes).toEqual([]);
    bench.pong(LAN);
    bench.pass(300);
    bench.finder.calledBy([at(PUBLIC)], bench.now);
    expect(bench.times("open 2", PUBLIC)).toEqual([]); // there is a path
    expect(bench.times("1310", PUBLIC)).toEqual([800]);
  });
});

describe("pings of the peer", () => {
  it("are answered by a ping of ours, 20 ms apart, until one is answered", () => {
    const bench = new Bench({ named: [] });
    bench.finder.pingReceived(at(LAN), bench.now);
    bench.now = addMs(bench.now, 19);
    bench.finder.pingReceived(at(LAN), bench.now);
    bench.now = addMs(bench.now, 1);
    bench.finder.pingReceived(at(LAN), bench.now);
    expect(bench.times("1310")).toEqual([0, 20]);
    bench.pong(LAN);
    bench.forget();
    bench.pass(1_000);
    bench.finder.pingReceived(at(LAN), bench.now);
    expect(bench.probes).toEqual([]); // known to work
    bench.finder.pingReceived(at(LAN2), bench.now);
    expect(bench.times("1310", LAN2)).toEqual([1_020]); // may be better
  });

  it("from a new address cause the path in use to be verified", () => {
    const bench = new Bench().connected();
    bench.pass(500);
    bench.finder.pingReceived(at(LAN2), bench.now);
    expect(bench.times("1310", LAN)).toEqual([500]);
    bench.pass(249);
    expect(bench.finder.trusted).toBeDefined();
    bench.pass(1);
    expect(bench.finder.trusted).toBeUndefined(); // it had a quarter of a second to answer
    expect(bench.suspected).toEqual([750]);
  });

  it("from impossible addresses are ignored", () => {
    const bench = new Bench({ named: [] });
    for (const text of ["224.0.0.1:5", "10.0.0.1:0", "[fe80::1]:5"]) bench.finder.pingReceived(at(text), bench.now);
    expect([bench.names, bench.probes]).toEqual([[], []]);
  });
});

describe("a pong", () => {
  it("makes its candidate the path, and ends the search", () => {
    const bench = new Bench();
    bench.send();
    bench.pass(500);
    expect([bench.finder.best, bench.finder.carrying, bench.finder.spare]).toEqual([undefined, undefined, undefined]);
    bench.forget();
    bench.pong(LAN, 10);
    const path = bench.candidate(LAN).path;
    expect([bench.finder.best, bench.finder.trusted, bench.finder.carrying]).toEqual([
      bench.candidate(LAN),
      path,
      path,
    ]);
    expect(bench.finder.spare).toBeUndefined();
    expect(bench.changes).toEqual([[500, false]]);
    expect(bench.finder.attempts).toBe(0);
    expect(bench.candidate(LAN)).toMatchObject({ rttMs: 10, pongsReceived: 1, lastPongAt: bench.now });
    bench.answersAfterMs = 0;
    bench.pass(3_000);
    expect(bench.calls).toEqual([]);
  });

  it("of a candidate that is no longer known changes nothing", () => {
    const bench = new Bench();
    const gone = bench.candidate(LAN);
    bench.finder.setCoordinatorEndpoints([], bench.now);
    bench.finder.pongReceived(gone, 1, PADDED, true, bench.now);
    expect([bench.finder.best, gone.pongsReceived]).toEqual([undefined, 0]);
  });

  it("to a small ping proves only that the way is open: a full-size one follows", () => {
    const bench = new Bench();
    bench.send();
    bench.pass(0);
    bench.forget();
    bench.pong(LAN, 1, PADDED - 1);
    expect(bench.probes).toEqual([]); // a full-size one was just sent
    bench.now = addMs(bench.now, 350);
    bench.pong(LAN, 1, 126);
    expect([bench.times("1310"), bench.finder.best]).toEqual([[350], undefined]);
    expect(bench.candidate(LAN)).toMatchObject({ smallPongsReceived: 2, pongsReceived: 0, rttMs: undefined });
    bench.pong(LAN, 1, PADDED);
    bench.forget();
    bench.now = addMs(bench.now, 350);
    bench.pong(LAN, 1, 126);
    expect(bench.probes).toEqual([]); // there is a path
  });

  it("of a better candidate moves the path, of a worse one does not", () => {
    const bench = new Bench({ named: [LAN, LAN2] }).connected(50);
    bench.pong(LAN2, 50);
    expect(bench.finder.best).toBe(bench.candidate(LAN));
    bench.pong(LAN2, 10);
    expect(bench.finder.best).toBe(bench.candidate(LAN2));
    expect(bench.changes).toEqual([[0, false]]);
  });

  it("of any candidate is accepted while the path is under suspicion", () => {
    const bench = new Bench({ named: [LAN, LAN2] }).connected(1);
    bench.pass(18_000);
    expect(bench.finder.trusted).toBeUndefined();
    bench.pong(LAN2, 500);
    expect(bench.finder.trusted).toBe(bench.candidate(LAN2).path);
  });

  it("to a sample counts for the loss of the path; a missing one only while the path lives", () => {
    const bench = new Bench({ named: [LAN, LAN2] }).connected();
    bench.pong(LAN, 1, PADDED, true);
    expect(bench.candidate(LAN).outcomes).toBe(1);
    bench.pong(LAN, 1, PADDED, false);
    expect(bench.candidate(LAN).outcomes).toBe(1);
    const lost = (to: string, bytes: number, sentAt: Instant) =>
      bench.finder.sampleLost(bench.candidate(to), bytes, sentAt);
    lost(LAN, PADDED, bench.now);
    expect(bench.candidate(LAN).loss).toBe(0.5);
    lost(LAN2, PADDED, bench.now); // not in use
    lost(LAN, PADDED, addMs(bench.now, -1)); // before this life began
    lost(LAN, 1452, bench.now); // too large for the path
    expect([bench.candidate(LAN).outcomes, bench.candidate(LAN2).outcomes]).toEqual([2, 0]);
    bench.pass(18_000); // silent
    lost(LAN, PADDED, bench.now);
    expect(bench.candidate(LAN).outcomes).toBe(2);
  });
});

describe("the path in use", () => {
  it("is asked every second while data flows, every 15 s otherwise, and the outcome is a sample", () => {
    const bench = new Bench().connected(0, true);
    bench.answersAfterMs = 0;
    for (let i = 0; i < 30; i++) {
      bench.pass(100);
      bench.send(true);
    }
    bench.pass(21_000);
    expect(bench.times("1310")).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 23].map((second) => second * 1_000));
    expect(bench.probes.every(({ sample }) => sample)).toBe(true);
    expect(bench.candidate(LAN).outcomes).toBe(9);
  });

  it("is asked at once when data leaves, but not within a second of the last time", () => {
    const bench = new Bench().connected();
    bench.answersAfterMs = 0;
    bench.pass(4_000);
    bench.send(); // no data
    bench.pass(0);
    expect(bench.probes).toEqual([]);
    bench.send(true);
    bench.pass(0);
    expect(bench.times("1310")).toEqual([4_000]);
    bench.pass(200);
    bench.send(true); // belongs to the same exchange
    bench.pass(1_000);
    expect(bench.times("1310")).toEqual([4_000]);
    bench.send(true);
    bench.pass(10_000);
    expect(bench.times("1310")).toEqual([4_000, 5_200]);
  });

  it("is under suspicion 1.1 s plus four round trips after a ping without answer, and given up 8 s later", () => {
    const bench = new Bench().connected(10);
    const path = bench.finder.trusted;
    bench.pass(15_000);
    expect(bench.times("1310")).toEqual([15_000]); // heartbeat
    bench.pass(1_139);
    expect(bench.finder.trusted).toBe(path);
    expect(bench.times("1310")).toEqual([15_000, 15_320, 15_930]); // 300 + 2 × 10, then 600 + 10
    bench.pass(1);
    expect([bench.finder.trusted, bench.finder.carrying]).toEqual([undefined, undefined]);
    expect([bench.finder.spare, bench.finder.best?.path]).toEqual([path, path]);
    expect([bench.suspected, bench.changes]).toEqual([[16_140], [[16_140, false]]]);
    expect(bench.probes.map(({ sample }) => sample)).toEqual([true, false, false, false]); // the heartbeat alone
    expect(bench.relayPings).toEqual([16_140]); // is the peer there at all?
    expect(bench.calls).toEqual([16_140]); // and a search
    bench.pass(7_999);
    expect(bench.finder.best).toBeDefined();
    bench.pass(1_010);
    expect([bench.finder.best, bench.finder.spare]).toEqual([undefined, undefined]);
    expect(bench.changes).toHaveLength(2);
  });

  it("recovers with the next pong", () => {
    const bench = new Bench().connected();
    bench.pass(17_000);
    expect(bench.finder.trusted).toBeUndefined();
    bench.forget();
    bench.pong();
    expect(bench.finder.trusted).toBeDefined();
    expect(bench.changes).toEqual([[17_000, false]]);
    bench.answersAfterMs = 0;
    bench.pass(14_000);
    expect(bench.calls).toEqual([]);
    bench.finder.sampleLost(bench.candidate(LAN), PADDED, addMs(bench.start, 16_999));
    expect(bench.candidate(LAN).loss).toBe(0);
  });

  it("whose last pong is older than 6.5 s is under suspicion with the first message after a pause", () => {
    const bench = new Bench().connected();
    bench.answersAfterMs = 0;
    bench.pass(100_000);
    expect(bench.finder.deadline).toBe(Number.POSITIVE_INFINITY);
    expect(bench.finder.trusted).toBeDefined();
    bench.answersAfterMs = undefined;
    const { lastPongAt } = bench.candidate(LAN);
    expect(lastPongAt).toBe(bench.start + 30_000);
    bench.forget();
    bench.send();
    expect([bench.finder.trusted, bench.suspected]).toEqual([undefined, [100_000]]);
    bench.pass(0);
    expect([bench.calls, bench.times("1310")]).toEqual([[100_000], [100_000]]);
  });

  it.each([
    [15_999, 100_250],
    [16_000, 100_000],
  ])("must answer within a quarter of a second if the peer asked on it %i ms ago", (heardMsAgo, suspectedAt) => {
    const bench = new Bench().connected();
    bench.answersAfterMs = 0;
    bench.pass(100_000 - heardMsAgo);
    bench.answersAfterMs = undefined;
    bench.finder.pingReceived(at(LAN), bench.now);
    bench.pass(heardMsAgo);
    bench.forget();
    bench.send(true);
    bench.pass(250);
    expect([bench.times("1310")[0], bench.suspected]).toEqual([100_000, [suspectedAt]]);
  });

  it("that is slower than 5 ms is compared with the others again after a minute", () => {
    for (const [rttMs, again] of [
      [5, []],
      [6, [60_000]],
    ] as const) {
      const bench = new Bench({ named: [LAN, LAN2] }).connected(rttMs);
      bench.answersAfterMs = rttMs;
      for (let i = 0; i < 5; i++) {
        bench.send();
        bench.pass(20_000);
      }
      expect(bench.times("1310", LAN2).slice(0, 1)).toEqual(again);
    }
  });
});

describe("doubt", () => {
  it("probes the path within a quarter of a second plus two round trips", () => {
    const bench = new Bench().connected(20);
    bench.pass(500);
    bench.finder.doubt(bench.now);
    bench.finder.doubt(bench.now);
    expect(bench.times("1310")).toEqual([500]);
    bench.pass(289);
    expect(bench.finder.trusted).toBeDefined();
    bench.pass(1);
    expect([bench.finder.trusted, bench.suspected]).toEqual([undefined, [790]]);
  });

  it("is not raised within 150 ms of a pong, nor within 350 of a ping, nor without a path", () => {
    const bench = new Bench().connected();
    bench.pass(399); // the ping was 399 ms ago, the pong too
    bench.pong();
    bench.pass(149);
    bench.finder.doubt(bench.now);
    expect(bench.probes).toEqual([]);
    bench.pass(1);
    bench.finder.doubt(bench.now);
    expect(bench.times("1310")).toEqual([549]);
    const none = new Bench();
    none.finder.doubt(none.now);
    expect(none.probes).toEqual([]);
  });

  it("that was dispelled is raised after twice the delay each time, up to 10 s, if the peer continues", () => {
    const bench = new Bench().connected();
    const doubts: number[] = [];
    bench.now = addMs(bench.now, 1_000);
    for (let i = 0; i < 6_000; i++) {
      bench.now = addMs(bench.now, 10);
      const before = bench.probes.length;
      bench.finder.doubt(bench.now);
      if (bench.probes.length > before) {
        doubts.push(bench.ms);
        bench.pong();
      }
    }
    const gaps = doubts.slice(1).map((ms, i) => ms - doubts[i]!);
    expect(gaps).toEqual([350, 350, 600, 1_200, 2_400, 4_800, 9_600, 10_000, 10_000, 10_000, 10_000]);
    // A pause longer than the gap makes it short again.
    bench.now = addMs(bench.now, 30_000);
    bench.finder.doubt(bench.now);
    bench.pong();
    const last = bench.ms;
    bench.probes.length = 0;
    for (let i = 0; i < 50; i++) {
      bench.now = addMs(bench.now, 10);
      bench.finder.doubt(bench.now);
    }
    expect(bench.probes.map(({ ms }) => ms - last)).toEqual([350]);
  });
});

describe("candidates", () => {
  it("are those that the coordinator and the latest call name, each address once", () => {
    const bench = new Bench({ named: [LAN, LAN, PUBLIC] });
    expect(bench.names).toEqual([LAN, PUBLIC]);
    bench.finder.calledBy([at(PUBLIC), at(LAN2)], bench.now);
    expect(bench.names).toEqual([LAN, PUBLIC, LAN2]);
    bench.finder.calledBy([at("10.0.0.3:3")], bench.now);
    expect(bench.names).toEqual([LAN, PUBLIC, "10.0.0.3:3"]);
    bench.finder.setCoordinatorEndpoints([at(LAN2)], bench.now);
    expect(bench.names).toEqual(["10.0.0.3:3", LAN2]);
    expect(bench.candidate(LAN2)).toMatchObject({ fromCoordinator: true, fromCallMeMaybe: false });
    expect(bench.candidate("10.0.0.3:3")).toMatchObject({ fromCoordinator: false, fromCallMeMaybe: true });
  });

  it("new ones restart the search while the peer is active; the same ones do not", () => {
    const bench = new Bench();
    bench.finder.setCoordinatorEndpoints([at(LAN), at(LAN2)], bench.now);
    expect(bench.finder.deadline).toBe(Number.POSITIVE_INFINITY);
    bench.send();
    bench.pass(3_000);
    bench.forget();
    bench.finder.setCoordinatorEndpoints([at(LAN2), at(LAN)], bench.now);
    bench.pass(0);
    expect(bench.probes).toEqual([]);
    bench.finder.setCoordinatorEndpoints([at(LAN), at(PUBLIC)], bench.now);
    bench.pass(500);
    expect(bench.times("1310", LAN)).toEqual([3_000, 3_400]);
    expect(bench.times("open 2", PUBLIC)).toEqual([3_000]);
  });

  it("heard-only ones are forgotten 45 s after the last ping, named ones and the path in use are not", () => {
    const bench = new Bench().connected();
    bench.answersAfterMs = 0;
    bench.finder.pingReceived(at("10.0.0.9:9"), bench.now);
    bench.finder.pingReceived(at(LAN2), bench.now);
    bench.finder.calledBy([at(LAN2)], bench.now); // heard and named
    bench.forget();
    bench.finder.setCoordinatorEndpoints([], bench.now); // the path in use stays
    for (let i = 0; i < 45; i++) {
      bench.send();
      bench.pass(1_000);
    }
    expect(bench.names).toEqual([LAN, "10.0.0.9:9", LAN2]);
    bench.pass(15_000);
    expect(bench.names).toEqual([LAN, LAN2]);
  });

  it("heard from lately stay when a new list of names omits them", () => {
    const bench = new Bench({ named: [] });
    bench.finder.pingReceived(at(LAN), bench.now);
    bench.now = addMs(bench.now, 45_000);
    bench.finder.setCoordinatorEndpoints([], bench.now);
    expect(bench.names).toEqual([LAN]);
    bench.now = addMs(bench.now, 1);
    bench.finder.setCoordinatorEndpoints([], bench.now);
    expect(bench.names).toEqual([]);
  });

  it("beyond the limit displace one that is only heard, or a named one that is silent, but not the path in use", () => {
    const bench = new Bench({ named: [] });
    const heard = (port: number) => bench.finder.pingReceived(at(`10.0.0.1:${port}`), bench.now);
    for (let port = 1; port <= MAX_CANDIDATES; port++) heard(port);
    bench.pong("10.0.0.1:1");
    heard(100);
    expect(bench.names).toHaveLength(MAX_CANDIDATES);
    expect([bench.candidate("10.0.0.1:1"), bench.candidate("10.0.0.1:100")].map(Boolean)).toEqual([true, true]);
    expect(bench.candidate("10.0.0.1:2")).toBeUndefined();
    const all = Array.from({ length: 40 }, (_, i) => at(`10.0.0.2:${i + 1}`));
    bench.finder.setCoordinatorEndpoints(all, bench.now);
    expect(bench.names).toHaveLength(MAX_CANDIDATES);
    expect(bench.names.filter((name) => name.startsWith("10.0.0.1"))).toEqual(["10.0.0.1:1"]);
    heard(101);
    expect([bench.candidate("10.0.0.1:101"), bench.candidate("10.0.0.1:1")].map(Boolean)).toEqual([true, true]);
    expect(bench.names.filter((name) => name.startsWith("10.0.0.2"))).toHaveLength(MAX_CANDIDATES - 2);
    bench.finder.calledBy([at("10.0.0.3:1")], bench.now); // a name takes the place of one that is only heard
    expect([bench.candidate("10.0.0.3:1"), bench.candidate("10.0.0.1:101")].map(Boolean)).toEqual([true, false]);
  });

  it("the one that answered last, within 45 s, is known", () => {
    const bench = new Bench({ named: [LAN, LAN2, PUBLIC] });
    expect(bench.finder.lastAnswered(bench.now)).toBeUndefined();
    bench.pong(LAN);
    bench.now = addMs(bench.now, 10);
    bench.pong(LAN2, 900);
    expect(bench.finder.lastAnswered(bench.now)).toBe(bench.candidate(LAN2));
    bench.now = addMs(bench.now, 44_999);
    expect(bench.finder.lastAnswered(bench.now)).toBe(bench.candidate(LAN2));
    bench.now = addMs(bench.now, 1);
    expect(bench.finder.lastAnswered(bench.now)).toBeUndefined();
  });
});

describe("a call of the peer", () => {
  it("that no longer names the path in use causes it to be verified", () => {
    const bench = new Bench({ named: [] });
    bench.finder.calledBy([at(LAN)], bench.now);
    bench.pong(LAN);
    bench.pass(1_000);
    bench.forget();
    bench.finder.calledBy([at(LAN)], bench.now);
    bench.pass(100);
    expect(bench.suspected).toEqual([]);
    bench.finder.calledBy([at(LAN2)], bench.now);
    bench.pass(250);
    expect(bench.suspected).toEqual([1_350]);
  });
});

describe("a change of the network", () => {
  it("that lost an address ends the path and all knowledge of it", () => {
    const bench = new Bench().connected();
    bench.finder.pingReceived(at(LAN), bench.now);
    bench.forget();
    bench.pass(100);
    bench.finder.networkChanged(true, bench.now);
    expect([bench.finder.best, bench.changes]).toEqual([undefined, [[100, false]]]);
    expect(bench.candidate(LAN).heardAt).toBeUndefined();
    bench.pass(0);
    expect([bench.times("1310"), bench.calls]).toEqual([[100], [100]]); // the last ping is no reason to wait
  });

  it("that added one only probes the path, and looks for a better one", () => {
    const bench = new Bench({ named: [LAN, LAN2] }).connected();
    bench.finder.pingReceived(at(LAN2), bench.now);
    bench.forget();
    bench.pass(100);
    bench.finder.networkChanged(false, bench.now);
    expect([bench.finder.trusted, bench.changes]).toEqual([bench.candidate(LAN).path, []]);
    expect(bench.candidate(LAN2).heardAt).toBeDefined();
    expect(bench.times("1310")).toEqual([100]);
    bench.pass(0);
    expect(bench.times("1310", LAN2)).toEqual([100]);
  });

  it("of the local port ends the path, which leads through the same network", () => {
    const bench = new Bench().connected();
    bench.finder.pingReceived(at(LAN), bench.now);
    bench.forget();
    bench.pass(100);
    bench.finder.portChanged(bench.now);
    expect([bench.finder.best, bench.candidate(LAN).heardAt]).toEqual([undefined, undefined]);
    bench.pass(0);
    expect(bench.times("1310")).toEqual([100]);
  });

  it("starts no search for a peer that nothing was sent to for 45 s", () => {
    const idle = new Bench();
    for (const change of ["networkChanged", "portChanged"] as const) {
      if (change === "networkChanged") idle.finder.networkChanged(true, idle.now);
      else idle.finder.portChanged(idle.now);
      expect([idle.finder.deadline, idle.changes]).toEqual([Number.POSITIVE_INFINITY, []]);
    }
    for (const [idleMs, searches] of [
      [44_999, [44_999]],
      [45_000, []],
    ] as const) {
      const bench = new Bench().connected();
      bench.now = addMs(bench.now, idleMs);
      bench.finder.portChanged(bench.now);
      bench.pass(0);
      expect(bench.times("1310")).toEqual(searches);
    }
  });
});

describe("failures", () => {
  /** The path dies after some time, and the relay says that the peer is there. */
  function die(bench: Bench, afterMs: number): void {
    bench.answersAfterMs = 1;
    for (const end = bench.ms + afterMs; bench.ms < end; bench.pass(1_000)) bench.send(true);
    bench.answersAfterMs = undefined;
    for (let i = 0; i < 100 && bench.finder.trusted !== undefined; i++) {
      bench.send(true);
      bench.pass(100);
    }
    bench.finder.relayPong(10, bench.now);
  }

  it("are counted by address when the peer turns out to be there, with the life of the path", () => {
    const bench = new Bench().connected(1);
    expect(bench.finder.failuresOf(bench.candidate(LAN), bench.now)).toBeUndefined();
    die(bench, 20_000);
    const failed = bench.finder.failuresOf(bench.candidate(LAN), bench.now);
    expect(failed).toMatchObject({ count: 1, lifeMs: 20_000, loss: 0 });
    expect(bench.finder.best).toBeDefined(); // once may happen to any path
    bench.finder.relayPong(10, bench.now);
    expect(bench.finder.failuresOf(bench.candidate(LAN), bench.now)).toMatchObject({ count: 1 });
  });

  it("do not count when the relay is silent too", () => {
    const bench = new Bench().connected(1);
    bench.pass(27_000);
    expect(bench.finder.best).toBeUndefined();
    bench.finder.relayPong(10, bench.now);
    expect(bench.finder.failuresOf(bench.candidate(LAN), bench.now)).toBeUndefined();
  });

  it("from the second on keep the address from being used for a while, even when it answers", () => {
    const bench = new Bench({ named: [LAN] }).connected(1);
    die(bench, 20_000);
    bench.pong(LAN, 1);
    expect(bench.finder.trusted).toBeDefined();
    die(bench, 2_000);
    expect(bench.finder.failuresOf(bench.candidate(LAN), bench.now)).toMatchObject({
      count: 2,
      heldUntil: bench.now + 15_000,
    });
    expect(bench.finder.best).toBeUndefined(); // given up at once
    bench.forget();
    const begin = bench.ms;
    bench.pong(LAN, 1);
    expect(bench.finder.best).toBeUndefined();
    bench.finder.pingReceived(at(LAN), bench.now);
    bench.finder.calledBy([at(LAN)], bench.now);
    bench.send();
    bench.pass(14_999);
    expect(bench.probes).toEqual([]); // nothing to look for
    bench.pass(1);
    expect(bench.times("1310").map((ms) => ms - begin)).toEqual([15_000]);
    expect(bench.stuck).toEqual([]);
    bench.pong(LAN, 1);
    expect(bench.finder.trusted).toBeDefined();
  });

  it("of one address leave the others alone", () => {
    const bench = new Bench({ named: [LAN, LAN2] }).connected(1);
    die(bench, 2_000);
    bench.pong(LAN, 1);
    die(bench, 2_000);
    bench.forget();
    bench.pass(5_000);
    expect([bench.times("1310", LAN).length, bench.times("1310", LAN2).length > 2]).toEqual([0, true]);
  });

  it("are forgotten with the network", () => {
    const bench = new Bench().connected(1);
    die(bench, 2_000);
    bench.pong(LAN, 1);
    die(bench, 2_000);
    bench.finder.networkChanged(true, bench.now);
    expect(bench.finder.failuresOf(bench.candidate(LAN), bench.now)).toBeUndefined();
  });
});

describe("packet sizes", () => {
  it("are tried on a path that answers; a confirmed size is that of the next heartbeats", () => {
    const bench = new Bench({ maxMtu: 1420 }).connected();
    expect(bench.finder.mtu).toBe(1280);
    bench.pass(0);
    expect(bench.times("1452")).toEqual([0]);
    bench.now = addMs(bench.now, 5);
    bench.pong(LAN, 5, 1452);
    expect([bench.finder.mtu, bench.changes]).toEqual([1420, [[5, false]]]);
    expect(bench.candidate(LAN).carries).toBe(1420);
    bench.pass(15_000);
    expect(bench.probes.slice(1).map(({ what }) => what)).toEqual(["1452"]);
    bench.pass(400);
    expect(bench.probes.slice(2).map(({ what }) => what)).toEqual(["1310"]); // the size that every path must carry
  });

  it("are not tried while the path is under suspicion", () => {
    const bench = new Bench({ maxMtu: 1420 }).connected();
    bench.pass(3_100);
    bench.send(true); // and a heartbeat, which is not answered either
    bench.pass(900);
    expect(bench.times("1452")).toEqual([0, 1_000]);
    expect(bench.times("1432")).toEqual([2_000, 3_000]);
    expect(bench.times("1372")).toEqual([4_000]);
    bench.pass(200);
    expect(bench.finder.trusted).toBeUndefined();
    bench.forget();
    bench.pass(3_000);
    expect(bench.probes.filter(({ what }) => what !== "1310")).toEqual([]);
  });
});

describe("the relay by choice", () => {
  it("is chosen with a heartbeat when the direct path is slow, announced as a choice, and a search begins", () => {
    const bench = new Bench({ named: [LAN, LAN2] }).connected(300);
    bench.answersAfterMs = 300;
    for (let i = 0; i < 2; i++) bench.finder.relayPong(10, bench.now);
    for (let i = 0; i < 4; i++) {
      bench.pass(3_000);
      bench.send(true);
    }
    bench.pass(2_999);
    expect(bench.finder.carrying).toBeDefined();
    bench.pass(1);
    bench.send(true);
    bench.pass(0); // the heartbeat after the fourth round trip
    expect(bench.finder.quality.verdict?.reason).toBe("latency");
    expect([bench.finder.carrying, bench.finder.spare]).toEqual([undefined, undefined]);
    expect(bench.finder.trusted).toBe(bench.candidate(LAN).path);
    expect(bench.changes).toEqual([[15_000, true]]);
    expect(bench.times("1310", LAN2)).toEqual([15_000]);
    expect(bench.calls).toEqual([15_000]);
    bench.finder.relayChanged();
    expect(bench.finder.carrying).toBeDefined();
    expect(bench.changes).toEqual([
      [15_000, true],
      [15_000, true],
    ]);
    bench.finder.relayChanged();
    expect(bench.changes).toHaveLength(2);
  });

  it("is not a failure of the direct path when that falls silent in the meantime", () => {
    const bench = new Bench().connected(300);
    bench.answersAfterMs = 300;
    for (let i = 0; i < 2; i++) bench.finder.relayPong(10, bench.now);
    for (let i = 0; i < 5; i++, bench.send(true)) bench.pass(3_000);
    bench.pass(1_000);
    expect(bench.finder.carrying).toBeUndefined();
    bench.answersAfterMs = undefined;
    bench.pass(6_000);
    expect([bench.finder.trusted, bench.finder.spare]).toEqual([undefined, undefined]);
    bench.finder.relayPong(10, bench.now);
    expect(bench.finder.failuresOf(bench.candidate(LAN), bench.now)).toBeUndefined();
  });
});

it("announces every earlier deadline", () => {
  const bench = new Bench();
  bench.send();
  expect(bench.wakeAt).toBe(bench.now);
  bench.pass(0);
  expect([bench.wakeAt, bench.finder.deadline]).toEqual([bench.now + 400, bench.now + 400]);
  bench.pong();
  expect(bench.wakeAt).toBe(bench.now + 15_000);
});
