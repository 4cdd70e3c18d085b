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

function setup(lastHandshakeAt: () => Instant | undefined = () => undefined) {
  return new PeerProgramming({ isDestination: (id) => id === AGENT, lastHandshakeAt, maxPeers: 3 });
}
const at = (ms: number) => instant(ms);
const kinds = (actions: readonly { kind: string }[]) => actions.map(({ kind }) => kind);

describe("PeerProgramming", () => {
  it("programs a peer that asked for us at once", () => {
    expect(kinds(setup().handle({ kind: "node", id: CLIENT, node: node(1) }, at(0)))).toEqual(["program"]);
  });

  it("programs a destination when it says ready, before or after its node came", () => {
    const first = setup();
    expect(first.handle({ kind: "node", id: AGENT, node: node(1) }, at(0))).toEqual([]);
    expect(kinds(first.handle({ kind: "ready", id: AGENT }, at(10)))).toEqual(["program"]);
    const second = setup();
    expect(second.handle({ kind: "ready", id: AGENT }, at(0))).toEqual([]);
    expect(kinds(second.handle({ kind: "node", id: AGENT, node: node(1) }, at(10)))).toEqual(["program"]);
  });

  it("programs a destination that never says ready 5 s after its node came", () => {
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

  it("removes a disconnected peer now, a lost one after 15 minutes without a handshake", () => {
    let handshake: Instant | undefined;
    const peers = setup(() => handshake);
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    expect(peers.handle({ kind: "disconnected", id: CLIENT }, at(1))).toMatchObject([{ kind: "remove", over: true }]);
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    peers.handle({ kind: "lost", id: CLIENT }, at(0));
    expect(peers.handleTimeout(at(15 * MINUTE - 1))).toEqual([]);
    handshake = at(10 * MINUTE);
    expect(peers.handleTimeout(at(20 * MINUTE))).toEqual([]);
    expect(peers.handleTimeout(at(25 * MINUTE))).toMatchObject([{ kind: "remove", over: false }]);
  });

  it("keeps a lost peer that is heard of again, and counts all as lost with the control connection", () => {
    const peers = setup();
    peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(0));
    peers.connectionLost(at(0));
    expect(peers.nextTimeout()).toBe(15 * MINUTE);
    expect(kinds(peers.handle({ kind: "node", id: CLIENT, node: node(1) }, at(5)))).toEqual(["program"]);
    expect(peers.nextTimeout()).toBeUndefined();
    expect(peers.programmed()).toEqual([CLIENT]);
  });

  it("drops updates about more peers than it may keep", () => {
    const peers = setup();
    for (const id of ["a", "b", "c", "d"]) peers.handle({ kind: "node", id, node: node(1) }, at(0));
    expect(peers.programmed()).toEqual(["a", "b", "c"]);
  });
});
