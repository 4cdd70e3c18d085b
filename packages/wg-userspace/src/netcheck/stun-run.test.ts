import { describe, expect, it } from "vitest";
import { addMs, type Instant, instant } from "../base/instant.ts";
import { formatAddrPort, parseAddrPort } from "../base/ip.ts";
import { derpMapOf, relayNode } from "../derp/map.ts";
import { encodeBindingResponse, parseBindingRequest } from "../stun/message.ts";
import { LinkRandom } from "../testing/link.ts";
import { probePlan } from "./plan.ts";
import type { StunObservation } from "./report.ts";
import { mappingVaries, StunRun } from "./stun-run.ts";

const at = (text: string) => parseAddrPort(text)!;
const BOTH = { ipv4: true, ipv6: true };
const V4 = { ipv4: true, ipv6: false };

function region(regionId: number, options: { avoid?: boolean; stunPort?: number } = {}) {
  const node = relayNode({ name: `${regionId}a`, regionId, hostName: "x.example", stunPort: options.stunPort ?? 0 });
  return {
    regionId,
    regionCode: "x",
    regionName: "X",
    embeddedRelay: false,
    avoid: options.avoid ?? false,
    nodes: [node],
  };
}
const map = derpMapOf([region(1), region(2), region(3, { avoid: true }), region(4), region(5, { stunPort: -1 })]);
const plan = (options: Partial<Parameters<typeof probePlan>[1]> = {}) =>
  probePlan(map, { families: V4, full: true, latencyMs: new Map(), ipv6Worked: true, home: 0, ...options });

describe("the plan", () => {
  it("probes every region with STUN in a full run, by both families", () => {
    expect(plan({ families: BOTH }).map(({ regionId, family }) => `${regionId}/${family}`)).toEqual([
      "1/4",
      "1/6",
      "2/4",
      "2/6",
      "3/4",
      "3/6",
      "4/4",
      "4/6",
    ]);
  });

  it("otherwise probes the three nearest, the home more often, and none that is to be avoided", () => {
    const latencyMs = new Map([
      [1, 90],
      [4, 10],
    ]);
    const sets = plan({ full: false, latencyMs, home: 4 });
    expect(sets.map(({ regionId, atMs }) => [regionId, atMs.length])).toEqual([
      [4, 4],
      [1, 2],
      [2, 1],
    ]);
    expect(sets[0]!.atMs).toEqual([0, 12, 24 + 100, 36 + 150]);
  });

  it("repeats IPv6 only where it worked", () => {
    const sets = plan({ full: false, families: BOTH, ipv6Worked: false });
    expect(sets.filter(({ family }) => family === 6).map(({ atMs }) => atMs.length)).toEqual([1, 1, 1]);
  });
});

class Bench {
  now: Instant = instant(1_000);
  readonly sent: { readonly to: string; readonly packet: Uint8Array; readonly at: number }[] = [];
  readonly observed: StunObservation[] = [];
  readonly run: StunRun;

  constructor(sets = plan()) {
    this.run = new StunRun(
      sets,
      new LinkRandom(1),
      {
        send: (to, packet) => this.sent.push({ to: formatAddrPort(to), packet, at: this.now - 1_000 }),
        observed: (observation) => this.observed.push(observation),
      },
      this.now,
    );
  }
  server(regionId: number, address: string): void {
    this.run.addServer({ regionId, node: `${regionId}a`, address: at(address) }, this.now);
  }
  answer(index: number, mapped: string): void {
    const { transactionId } = parseBindingRequest(this.sent[index]!.packet)!;
    this.run.handleStun(encodeBindingResponse(transactionId, at(mapped)), this.now);
  }
  pass(ms: number): void {
    const end = addMs(this.now, ms);
    for (let next = this.run.nextTimeout(); next <= end && !this.run.isDone(this.now); next = this.run.nextTimeout()) {
      this.now = next > this.now ? next : addMs(this.now, 1);
      this.run.handleTimeout(this.now);
    }
    this.now = end;
    this.run.handleTimeout(end);
  }
}

describe("a run", () => {
  it("probes a server when it becomes known, repeats, and stops at the first answer", () => {
    const bench = new Bench();
    expect(bench.sent).toEqual([]);
    bench.server(1, "192.0.2.1:3478");
    bench.pass(250);
    expect(bench.sent.map(({ at }) => at)).toEqual([0, 200]);
    bench.answer(0, "203.0.113.9:5"); // a late answer to the first request counts
    bench.pass(1_000);
    expect(bench.sent).toHaveLength(2);
    expect(bench.observed).toMatchObject([{ regionId: 1, node: "1a", rttMs: 250 }]);
    bench.answer(1, "203.0.113.9:6");
    expect(bench.observed).toHaveLength(1);
  });

  it("ends when all have answered, without waiting for the limit", () => {
    const bench = new Bench();
    for (const id of [1, 2, 3, 4]) bench.server(id, `192.0.2.${id}:3478`);
    expect(bench.run.isDone(bench.now)).toBe(false);
    for (const index of [0, 1, 2, 3]) bench.answer(index, "203.0.113.9:5");
    expect(bench.run.isDone(bench.now)).toBe(true);
  });

  it("ends without any answer, and at once when no server is known", () => {
    const bench = new Bench();
    bench.server(1, "192.0.2.1:3478");
    bench.run.allServersKnown(bench.now);
    bench.pass(3_000);
    expect(bench.run.isDone(bench.now)).toBe(true);
    const empty = new Bench();
    expect(empty.run.isDone(empty.now)).toBe(false);
    empty.run.allServersKnown(empty.now);
    expect(empty.run.isDone(empty.now)).toBe(true);
  });

  it("persists while there is no answer: seven lost requests in a row prove nothing", () => {
    const bench = new Bench();
    for (const id of [1, 2]) bench.server(id, `192.0.2.${id}:3478`);
    bench.run.allServersKnown(bench.now);
    bench.pass(1_800);
    const toFirst = bench.sent.filter(({ to }) => to === "192.0.2.1:3478");
    expect(toFirst.map(({ at }) => at)).toEqual([0, 200, 500, 800, 1_100, 1_400, 1_700]);
    bench.answer(bench.sent.indexOf(toFirst.at(-1)!), "203.0.113.9:5");
    expect(bench.observed).toHaveLength(1);
    // One answer shows that UDP works: the other server gets no more requests, and those in flight may still be answered.
    const sent = bench.sent.length;
    bench.pass(800);
    expect(bench.sent).toHaveLength(sent);
    expect(bench.run.isDone(bench.now)).toBe(false);
    bench.pass(200);
    expect(bench.run.isDone(bench.now)).toBe(true);
  });

  it("never lasts longer than 3 s, whichever names are still being resolved", () => {
    const bench = new Bench();
    bench.pass(3_000);
    expect(bench.run.isDone(bench.now)).toBe(true);
  });

  it("ignores unsolicited answers, and garbage", () => {
    const bench = new Bench();
    bench.server(1, "192.0.2.1:3478");
    bench.run.handleStun(encodeBindingResponse(new Uint8Array(12), at("203.0.113.66:6")), bench.now);
    bench.run.handleStun(new Uint8Array(50), bench.now);
    expect(bench.observed).toEqual([]);
  });
});

describe("the kind of mapping", () => {
  const seen = (server: string, mapped: string): StunObservation => ({
    regionId: 1,
    node: "a",
    server: at(server),
    mapped: at(mapped),
    rttMs: 1,
  });
  it.each([
    ["unknown with one server", [seen("192.0.2.1:1", "203.0.113.9:5")], undefined],
    ["stable", [seen("192.0.2.1:1", "203.0.113.9:5"), seen("192.0.2.2:1", "203.0.113.9:5")], false],
    ["another port per server", [seen("192.0.2.1:1", "203.0.113.9:5"), seen("192.0.2.2:1", "203.0.113.9:6")], true],
    [
      "IPv6 says nothing about it",
      [seen("192.0.2.1:1", "203.0.113.9:5"), seen("[2001:db8::1]:1", "[2001:db8::9]:5")],
      undefined,
    ],
  ])("%s", (_name, observations, expected) => {
    expect(mappingVaries(observations)).toBe(expected);
  });
});
