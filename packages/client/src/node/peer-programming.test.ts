import type { NodeInfo } from "coder-protocol/tailnet/node";
import { describe, expect, it } from "vitest";
import { type Instant, instant } from "wg-userspace/base/instant";
import { PeerProgramming } from "./peer-programming.ts";

const AGENT = "agent";
const CLIENT = "client";
const MINUTE = 60_000;

function node(key: number, preferredDerp = 999): NodeInfo {
  return {
    id: BigInt(key),
    asOfUnixMs: 0,
    key: new Uint8Array(32).fill(key),
    disco: "",
    preferredDerp,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: [],
    allowedIps: [],
    endpoints: [],
  };
}

const never = () => undefined;
function setup(
  lastHandshakeAt: () => Instant | undefined = never,
  lastReceivedAt: (node: NodeInfo) => Instant | undefined = never,
  onFull?: () => void,
) {
  const isDestination = (id: string) => id === AGENT;
  return new PeerProgramming({ isDestination, lastHandshakeAt, lastReceivedAt, maxPeers: 3, onFull });
}
const at = (ms: number) => instant(ms);
const kinds = (actions: readonly { kind: string }[]) => actions.map(({ kind }) => kind);

describe("PeerProgramming", () => {
  it("programs a peer that asked for us at once", () => {
    expect(kinds(setup().handle({ kind: "node", id: CLIENT, node: node(1) }, at(0)))).toEqual(["program"]);
  });

  it("programs a destination when it reports ready, before or after its node arrived", () => {
    const first = setup();
    expect(first.handle({ kind: "node", id: AGENT, node: node(1) }, at(0))).toEqual([]);
    expect(kinds(first.handle({ kind: "ready", id: AGENT }, at(10)))).toEqual(["program"]);
    const second = setup();
    expect(second.handle({ kind: "ready", id: AGENT }, at(0))).toEqual([]);
    expect(kinds(second.handle({ kind: "node", id: AGENT, node: node(1) }, at(10)))).toEqual(["program"]);
  });

  it("programs a destination that never reports ready 5 s after its node arrived", () => {
    const peers = setup();
    peers.handle({ kind: "node", id: AGENT, node: node(1) }, at(1_000));
    expect(peers.nextTimeout()).toBe(6_000);
    expect(peers.handleTimeout(at(5_999))).toEqual([]);
    expect(kinds(peers.handleTimeout(at(6_000)))).toEqual(["program"]);
    expect(peers.nextTimeout()).toBeUndefined();
  });

  it("ignores a node without a home relay", () => {
    expect(setup().handle({ kind: "node", id: CLIENT, node: node(1, 0) }, at(0))).toEqual([]);
  });

  it("replaces a peer that came back with another key: it restarted", () => {
    const peers = setup();
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    const actions = peers.handle({ kind: "node", id: CLIENT, node: node(2) }, at(1));
    expect(actions.map(({ kind, node: peer }) => [kind, peer.key[0]])).toEqual([
      ["remove", 1],
      ["program", 2],
    ]);
  });

  it("expels every peer, known or programmed, permanently", () => {
    const peers = setup();
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    peers.handle({ kind: "node", id: AGENT, node: node(2) }, at(0));
    expect(peers.expelAll()).toMatchObject([{ kind: "remove", id: CLIENT, over: true }]);
    expect([peers.programmed(), peers.nextTimeout()]).toEqual([[], undefined]);
  });

  it("removes a disconnected peer now, a lost one after 15 minutes without a handshake", () => {
    let handshake: Instant | undefined;
    const peers = setup(() => handshake);
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    expect(peers.handle({ kind: "disconnected", id: CLIENT }, at(1))).toMatchObject([{ kind: "remove", over: true }]);
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    peers.handle({ kind: "lost", id: CLIENT, byClose: false }, at(0));
    expect(peers.handleTimeout(at(15 * MINUTE - 1))).toEqual([]);
    handshake = at(10 * MINUTE);
    expect(peers.handleTimeout(at(20 * MINUTE))).toEqual([]);
    expect(peers.handleTimeout(at(25 * MINUTE))).toMatchObject([{ kind: "remove", over: false }]);
  });

  it("keeps a lost peer that is reported again, and counts all as lost with the control connection", () => {
    const peers = setup();
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    peers.connectionLost(at(0));
    expect(peers.nextTimeout()).toBe(15 * MINUTE);
    expect(kinds(peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(5)))).toEqual(["program"]);
    expect(peers.nextTimeout()).toBeUndefined();
    expect(peers.programmed()).toEqual([CLIENT]);
  });

  it("drops updates about more connected peers than it may keep, and reports that once", () => {
    let reports = 0;
    const peers = setup(never, never, () => reports++);
    for (const id of ["a", "b", "c", "d", "e"]) peers.handle({ kind: "node", id, node: node(1) }, at(0));
    expect([peers.programmed(), reports]).toEqual([["a", "b", "c"], 1]);
    peers.handle({ kind: "disconnected", id: "b" }, at(1));
    for (const id of ["d", "e"]) peers.handle({ kind: "node", id, node: node(1) }, at(2));
    expect([peers.programmed(), reports]).toEqual([["a", "c", "d"], 2]);
  });

  it("gives the place of the lost peer that has been silent longest to a new one", () => {
    // The first lost peer, "b", has a session that continues.
    const peers = setup(never, (peer) => (peer.key[0] === 2 ? at(9_000) : undefined));
    for (const [index, id] of ["a", "b", "c"].entries())
      peers.handle({ kind: "node", id, node: node(index + 1) }, at(0));
    peers.handle({ kind: "lost", id: "b", byClose: false }, at(1_000));
    peers.handle({ kind: "lost", id: "c", byClose: true }, at(2_000));
    expect(peers.handle({ kind: "node", id: "d", node: node(4) }, at(10_000))).toMatchObject([
      { kind: "remove", id: "c", over: false },
      { kind: "program", id: "d" },
    ]);
    expect(peers.handle({ kind: "ready", id: "e" }, at(10_001))).toMatchObject([{ kind: "remove", id: "b" }]);
    expect(peers.handle({ kind: "node", id: "f", node: node(6) }, at(10_002))).toEqual([]);
    expect(peers.programmed()).toEqual(["a", "d"]);
  });

  it("is reached by a new client when as many as it may keep were killed", () => {
    const peers = setup();
    for (let client = 0; client < 10; client++) {
      expect(kinds(peers.handle({ kind: "node", id: `${client}`, node: node(client) }, at(client)))).toContain(
        "program",
      );
      peers.handle({ kind: "lost", id: `${client}`, byClose: true }, at(client));
    }
    expect(peers.programmed()).toEqual(["7", "8", "9"]);
  });
});

describe("a client whose control connection was closed without a disconnect", () => {
  /** The actions other than the removal of the peer, with their times. */
  function until(peers: PeerProgramming, end: number, before?: (now: Instant) => void): [number, string][] {
    const seen: [number, string][] = [];
    for (let next = peers.nextTimeout(); next !== undefined && next <= end; next = peers.nextTimeout()) {
      before?.(next);
      for (const { kind } of peers.handleTimeout(next)) seen.push([next, kind]);
    }
    return seen;
  }
  function closed(lastReceivedAt: () => Instant | undefined = never): PeerProgramming {
    const peers = setup(never, lastReceivedAt);
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    peers.handle({ kind: "lost", id: CLIENT, byClose: true }, at(1_000));
    return peers;
  }

  it("loses its sessions after two minutes of silence, and stays in the tunnel like every lost peer", () => {
    const peers = closed();
    expect(peers.handleTimeout(at(1_000 + 2 * MINUTE - 1))).toEqual([]);
    expect(until(peers, 60 * MINUTE)).toEqual([
      [1_000 + 2 * MINUTE, "hang-up"],
      [1_000 + 15 * MINUTE, "remove"],
    ]);
  });

  it("loses its sessions two minutes after its last packet", () => {
    const peers = closed(() => at(80_000));
    expect(until(peers, 10 * MINUTE)).toEqual([[80_000 + 2 * MINUTE, "hang-up"]]);
  });

  it("counts as alive while its keepalives arrive: an intermediary cut its control connection", () => {
    let now = 0;
    // Counted from the last keepalive that arrived: two of three are lost.
    const heard = () => at(Math.floor(now / 75_000) * 75_000);
    const peers = setup(heard, heard);
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    peers.handle({ kind: "lost", id: CLIENT, byClose: true }, at(1_000));
    const judged: Instant[] = [];
    const seen = until(peers, 60 * MINUTE, (next) => {
      now = next;
      judged.push(next);
    });
    expect([seen, peers.programmed()]).toEqual([[], [CLIENT]]);
    expect(judged.length).toBeGreaterThan(20);
  });

  it("counts as alive when it is back on the control plane, with or without a home relay", () => {
    for (const region of [999, 0]) {
      const peers = closed();
      peers.handle({ kind: "node", id: CLIENT, node: node(1, region) }, at(2 * MINUTE));
      expect(until(peers, 14 * MINUTE)).toEqual([]);
    }
  });

  it("is not judged once our own control connection is lost, whatever was reported before", () => {
    const peers = closed();
    peers.connectionLost(at(2 * MINUTE));
    expect(until(peers, 14 * MINUTE)).toEqual([]);
  });

  it("is not judged by a process that was stopped meanwhile and received nothing", () => {
    const peers = closed();
    expect(peers.handleTimeout(at(60 * MINUTE)).filter(({ kind }) => kind === "hang-up")).toEqual([]);
    const asleep = setup(never, () => at(0));
    asleep.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    asleep.handle({ kind: "lost", id: CLIENT, byClose: true }, at(0));
    expect(asleep.handleTimeout(at(10 * MINUTE))).toEqual([]);
    expect(until(asleep, 14 * MINUTE)).toEqual([[12 * MINUTE, "hang-up"]]);
  });

  it("is left alone when it was lost by silence, or is a destination of our own", () => {
    const silent = setup();
    silent.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    silent.handle({ kind: "lost", id: CLIENT, byClose: false }, at(0));
    expect(until(silent, 14 * MINUTE)).toEqual([]);
    const destination = setup();
    destination.handle({ kind: "ready", id: AGENT }, at(0));
    destination.handle({ kind: "node", id: AGENT, node: node(1) }, at(0));
    destination.handle({ kind: "lost", id: AGENT, byClose: true }, at(0));
    expect(until(destination, 14 * MINUTE)).toEqual([]);
  });
});
