import type { NodeInfo } from "coder-protocol/tailnet/node";
import { beforeEach, describe, expect, it } from "vitest";
import { addMs, type Instant, instant } from "wg-userspace/base/instant";
import { parseAddrPort } from "wg-userspace/base/ip";
import { type NodePublicKey, nodePublicKey, parseDiscoKey } from "wg-userspace/base/keys";
import { type DerpMap, derpMapOf, relayNode } from "wg-userspace/derp/map";
import type { EnginePeer, PeerStatus } from "wg-userspace/engine";
import { udpPath } from "wg-userspace/magicsock/path";
import { NodeCore, type NodeCoreOptions, type NodeEvent, type NodeOutput, type RegionFallback } from "./node-core.ts";

const AGENT = "agent";
const CLIENT = "client";
const MINUTE = 60_000;

function peer(key: number, fields: Partial<NodeInfo> = {}): NodeInfo {
  return {
    id: BigInt(key),
    asOfUnixMs: 0,
    key: new Uint8Array(32).fill(key),
    disco: `discokey:${"0a".repeat(32)}`,
    preferredDerp: 1,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: [],
    allowedIps: [`fd7a:115c:a1e0::${key}/128`],
    endpoints: ["192.0.2.1:1000", "nonsense"],
    ...fields,
  };
}

function mapOf(...ids: number[]): DerpMap {
  return derpMapOf(
    ids.map((regionId) => ({
      regionId,
      regionCode: `r${regionId}`,
      regionName: `Region ${regionId}`,
      embeddedRelay: regionId === 999,
      avoid: false,
      nodes: [relayNode({ name: `${regionId}a`, regionId, hostName: `r${regionId}.example` })],
    })),
  );
}

/** Records what a shell would have to do. */
class Recorder implements NodeOutput {
  readonly calls: string[] = [];
  readonly peers: EnginePeer[] = [];
  map: DerpMap | undefined;
  setPeer(config: EnginePeer): void {
    this.calls.push(`set ${config.publicKey[0]}`);
    this.peers.push(config);
  }
  removePeer(key: NodePublicKey): void {
    this.calls.push(`remove ${key[0]}`);
  }
  abortConnections(prefixes: readonly unknown[]): void {
    this.calls.push(`abort ${prefixes.length}`);
  }
  startHandshake(key: NodePublicKey): void {
    this.calls.push(`handshake ${key[0]}`);
  }
  setRelayMap(map: DerpMap): void {
    this.map = map;
  }
  setHomeRegion(regionId: number): void {
    this.calls.push(`home ${regionId}`);
  }
  dialRelay(regionId: number): void {
    this.calls.push(`dial ${regionId}`);
  }
  redialRelay(regionId: number): void {
    this.calls.push(`redial ${regionId}`);
  }
  setOwnEndpoints(endpoints: readonly unknown[], guesses: readonly unknown[]): void {
    this.calls.push(`endpoints ${endpoints.length}+${guesses.length}`);
  }
  peerAdded(): void {
    this.calls.push("added");
  }
  directPathStuck(rebind: boolean): void {
    this.calls.push(rebind ? "stuck, rebind" : "stuck");
  }
  directPathSuspected(): void {
    this.calls.push("suspected");
  }
  /** The calls since the last time. */
  take(): string[] {
    return this.calls.splice(0);
  }
}

let now: Instant;
let output: Recorder;
let statuses: Map<number, Partial<PeerStatus>>;
let events: NodeEvent[];
let selfChanges: number;

function coreOf(options: Partial<NodeCoreOptions> = {}): NodeCore {
  const status = (key: NodePublicKey): PeerStatus | undefined => statuses.get(key[0]!) as PeerStatus | undefined;
  const core = new NodeCore(
    {
      addresses: ["fd7a:115c:a1e0::99"],
      nodeId: 7n,
      publicKey: nodePublicKey(new Uint8Array(32).fill(9)),
      discoKey: parseDiscoKey(`discokey:${"0b".repeat(32)}`)!,
      accessUrl: "https://coder.example.com",
      maxPeers: 8,
      isDestination: (id) => id === AGENT,
      mtu: 1420,
      random: { bytes: (length) => new Uint8Array(length), uint32: () => 0 },
      ...options,
    },
    { peerStatus: status, peers: () => [...statuses.values()] as PeerStatus[] },
    output,
  );
  core.events.add((event) => events.push(event));
  core.selfChanges.add(() => selfChanges++);
  return core;
}

beforeEach(() => {
  now = instant(1_000_000);
  output = new Recorder();
  statuses = new Map();
  events = [];
  selfChanges = 0;
});

describe("what is published", () => {
  it("is nothing before there is a home relay, then one relay at once", () => {
    const core = coreOf();
    core.setEndpoints([parseAddrPort("192.0.2.9:4")!], []);
    expect(core.self(5)).toBeUndefined();
    expect(selfChanges).toBe(0);
    core.setDerpMap(mapOf(3), now);
    expect(output.take()).toEqual(["endpoints 1+0", "home 3"]);
    expect(selfChanges).toBe(1);
    expect(core.self(5)).toEqual({
      id: 7n,
      asOfUnixMs: 5,
      key: new Uint8Array(32).fill(9),
      disco: `discokey:${"0b".repeat(32)}`,
      preferredDerp: 3,
      derpLatency: new Map(),
      derpForcedWebsocket: new Map(),
      addresses: ["fd7a:115c:a1e0::99/128"],
      allowedIps: ["fd7a:115c:a1e0::99/128"],
      endpoints: ["192.0.2.9:4"],
    });
  });

  it("changes with endpoints that differ, with latencies, and with relays that force WebSocket", () => {
    const core = coreOf();
    core.setDerpMap(mapOf(1, 2), now);
    const home = core.homeRegion;
    selfChanges = 0;
    const endpoints = [parseAddrPort("192.0.2.9:4")!];
    core.setEndpoints(endpoints, []);
    core.setEndpoints(endpoints, endpoints);
    expect(selfChanges).toBe(1);
    core.setLatencies(
      new Map([
        [1, 80],
        [2, 20],
      ]),
      now,
    );
    expect(core.homeRegion).toBe(2);
    core.noteForcedWebSocket(2, "upgrade refused");
    expect(selfChanges).toBe(3);
    expect(core.self(0)).toMatchObject({
      preferredDerp: 2,
      derpLatency: new Map([
        ["1-v4", 0.08],
        ["2-v4", 0.02],
      ]),
      derpForcedWebsocket: new Map([[2, "upgrade refused"]]),
    });
    expect(home).toBe(1);
  });

  it("names WebSocket as the only transport of a page", () => {
    const core = coreOf({ webSocketOnly: "a web page" });
    core.setDerpMap(mapOf(3), now);
    expect(core.self(0)?.derpForcedWebsocket).toEqual(new Map([[3, "a web page"]]));
  });

  it("has the home that was asked for, while the map has it", () => {
    const core = coreOf({ region: "r2" });
    core.setDerpMap(mapOf(1, 2), now);
    core.setLatencies(
      new Map([
        [1, 1],
        [2, 200],
      ]),
      now,
    );
    expect(core.homeRegion).toBe(2);
    core.setDerpMap(mapOf(1), now);
    expect(core.homeRegion).toBe(1);
  });

  it("leaves a named home that does not answer for the nearest of the others, reports that, and returns", () => {
    const fallbacks: RegionFallback[] = [];
    const core = coreOf({ region: "r2", onRegionFallback: (fallback) => fallbacks.push(fallback) });
    core.setDerpMap(mapOf(1, 2, 3), now);
    core.setLatencies(
      new Map([
        [1, 90],
        [2, 1],
        [3, 10],
      ]),
      now,
    );
    expect(output.take().at(-1)).toBe("home 2");
    now = core.nextTimeout()!;
    selfChanges = 0;
    core.handleTimeout(now);
    expect([output.take(), core.self(0)?.preferredDerp, selfChanges]).toEqual([["home 3"], 3, 1]);
    core.relayReady(3, now);
    expect(fallbacks).toEqual([{ wanted: "r2", why: "no-answer", using: { id: 3, name: "Region 3" } }]);
    now = core.nextTimeout()!;
    core.handleTimeout(now);
    expect(output.take()).toEqual(["dial 2"]);
    core.relayReady(2, now);
    expect([output.take(), core.self(0)?.preferredDerp]).toEqual([["home 2"], 2]);
    expect(fallbacks).toHaveLength(1);
  });

  it("leaves an automatic home whose relay went away for one that answers, and stays while none does", () => {
    const core = coreOf();
    core.setDerpMap(mapOf(1, 2, 3), now);
    const measured = new Map([
      [1, 1],
      [2, 80],
      [3, 90],
    ]);
    core.setLatencies(measured, now);
    core.relayReady(1, now);
    core.relayLost(1, now);
    output.take();
    for (const _ of [1, 2]) {
      now = core.nextTimeout()!;
      core.handleTimeout(now);
      expect([output.take(), core.homeRegion]).toEqual([["dial 2", "dial 3"], 1]);
    }
    selfChanges = 0;
    core.relayReady(3, now);
    expect([output.take(), core.self(0)?.preferredDerp, selfChanges]).toEqual([["home 3"], 3, 1]);
    core.setDerpMap(mapOf(1, 2, 3), now);
    expect([core.homeRegion, core.nextTimeout()]).toEqual([3, undefined]);
    core.setLatencies(measured, now);
    expect(core.homeRegion).toBe(1);
  });

  it("reports a named home that the map does not have", () => {
    const fallbacks: RegionFallback[] = [];
    const core = coreOf({ region: "r9", onRegionFallback: (fallback) => fallbacks.push(fallback) });
    core.setDerpMap(mapOf(1), now);
    expect(fallbacks).toEqual([{ wanted: "r9", why: "not-in-map", using: { id: 1, name: "Region 1" } }]);
  });

  it("sends embedded relays to the address at which we reach the control plane", () => {
    coreOf().setDerpMap(mapOf(999), now);
    expect(output.map?.regions.get(999)?.nodes[0]).toMatchObject({ hostName: "coder.example.com", derpPort: 443 });
  });
});

describe("peers", () => {
  it("that asked for us enter the tunnel at once, with what of their node is usable", () => {
    const core = coreOf();
    expect(core.handlePeerUpdates([{ kind: "node", id: CLIENT, node: peer(1) }], now)).toEqual([CLIENT]);
    expect(output.take()).toEqual(["added", "set 1"]);
    expect(output.peers[0]).toMatchObject({ homeRegion: 1, discoKey: parseDiscoKey(`discokey:${"0a".repeat(32)}`) });
    expect(output.peers[0]?.udpEndpoints).toHaveLength(1);
    expect(output.peers[0]?.persistentKeepaliveMs).toBeUndefined();
    expect(events).toEqual([{ kind: "peer-programmed", id: CLIENT }]);
    // An update is not a new peer.
    core.handlePeerUpdates([{ kind: "node", id: CLIENT, node: peer(1, { endpoints: [] }) }], now);
    expect(output.take()).toEqual(["set 1"]);
  });

  it("that we asked for wait until they are ready, or 5 s, and are kept alive", () => {
    const core = coreOf();
    expect(core.handlePeerUpdates([{ kind: "node", id: AGENT, node: peer(2) }], now)).toEqual([]);
    expect(core.nextTimeout()).toBe(addMs(now, 5_000));
    core.handleTimeout(addMs(now, 5_000));
    expect(output.take()).toEqual(["added", "set 2"]);
    expect(output.peers[0]?.persistentKeepaliveMs).toBe(25_000);
    expect(core.isProgrammed(AGENT)).toBe(true);
  });

  it("that disconnect, and all of them when our own right ends, lose their connections", () => {
    const core = coreOf();
    core.handlePeerUpdates(
      [
        { kind: "node", id: CLIENT, node: peer(1) },
        { kind: "node", id: "other", node: peer(3) },
      ],
      now,
    );
    output.take();
    core.handlePeerUpdates([{ kind: "disconnected", id: CLIENT }], now);
    expect(output.take()).toEqual(["remove 1", "abort 1"]);
    core.expelPeers(now);
    expect(output.take()).toEqual(["remove 3", "abort 1"]);
    expect(core.hasPeers).toBe(false);
    expect(events.filter(({ kind }) => kind === "peer-removed")).toHaveLength(2);
  });

  it("stay 15 min after the control connection was lost", () => {
    const core = coreOf();
    core.handlePeerUpdates([{ kind: "node", id: CLIENT, node: peer(1) }], now);
    core.coordinationLost(now);
    expect(core.nextTimeout()).toBe(addMs(now, 15 * MINUTE));
    output.take();
    core.handleTimeout(addMs(now, 15 * MINUTE));
    expect(output.take()).toEqual(["remove 1"]);
  });

  it("that we asked for and that our relay keeps not finding make us redial it, while they are announced there", () => {
    const core = coreOf();
    core.setDerpMap(mapOf(1), now);
    const agent = peer(2);
    core.handlePeerUpdates(
      [
        { kind: "node", id: CLIENT, node: peer(3) },
        { kind: "node", id: AGENT, node: agent },
      ],
      now,
    );
    core.handlePeerUpdates([{ kind: "ready", id: AGENT }], now);
    const redials = (key: Uint8Array, regionId = 1): string[] => {
      output.take();
      core.relayPeerGone(regionId, key, now);
      now = addMs(now, 5_000);
      core.handleTimeout(now);
      return output.take();
    };
    expect(redials(peer(3).key)).toEqual([]);
    expect(redials(agent.key, 2)).toEqual([]);
    expect(redials(agent.key)).toEqual(["redial 1"]);
    now = addMs(now, 60_000);
    statuses.set(2, { path: udpPath(parseAddrPort("192.0.2.1:1000")!) });
    expect(redials(agent.key)).toEqual([]);
    statuses.clear();
    core.handlePeerUpdates([{ kind: "lost", id: AGENT, byClose: false }], now);
    expect(redials(agent.key)).toEqual([]);
    core.handlePeerUpdates([{ kind: "node", id: AGENT, node: peer(2, { preferredDerp: 2 }) }], now);
    expect(redials(agent.key)).toEqual([]);
  });

  it("that were announced lately and not heard are called when the home relay is ready", () => {
    const core = coreOf();
    core.setDerpMap(mapOf(1), now);
    core.handlePeerUpdates(
      [
        { kind: "node", id: CLIENT, node: peer(1) },
        { kind: "node", id: "heard", node: peer(3) },
      ],
      now,
    );
    statuses.set(3, { lastReceivedAt: now });
    output.take();
    core.relayReady(2, now);
    expect(output.take()).toEqual([]);
    core.relayReady(1, addMs(now, 1_000));
    expect(output.take()).toEqual(["handshake 1"]);
    core.relayReady(1, addMs(now, 31_000));
    expect(output.take()).toEqual([]);
  });

  it("choose the home with us: the shortest route to the only destination", () => {
    const own = new Map([
      [1, 20],
      [2, 60],
    ]);
    const derpLatency = new Map([
      ["1-v4", 0.3],
      ["2-v4", 0.01],
    ]);
    for (const id of [AGENT, CLIENT]) {
      const core = coreOf();
      core.setDerpMap(mapOf(1, 2), now);
      core.handlePeerUpdates(
        [
          { kind: "node", id, node: peer(2, { derpLatency }) },
          { kind: "ready", id },
        ],
        now,
      );
      core.setLatencies(own, now);
      expect([id, core.homeRegion]).toEqual([id, id === AGENT ? 2 : 1]);
    }
  });
});

describe("events of the engine", () => {
  const direct = udpPath(parseAddrPort("192.0.2.1:1000")!);
  const key = nodePublicKey(new Uint8Array(32).fill(1));

  it("carry the peer's id, and those of unknown keys are dropped", () => {
    const core = coreOf();
    core.handleEngineEvent({ kind: "session-established", peer: key }, now);
    core.handlePeerUpdates([{ kind: "node", id: CLIENT, node: peer(1) }], now);
    core.handleEngineEvent({ kind: "session-established", peer: key }, now);
    core.handleEngineEvent({ kind: "path-changed", peer: key, path: direct }, addMs(now, 400));
    expect(events.slice(1)).toEqual([
      { kind: "session-established", id: CLIENT },
      { kind: "path-changed", id: CLIENT, path: direct },
    ]);
    core.handleEngineEvent({ kind: "path-changed", peer: key, path: direct }, addMs(now, 900));
    expect(core.pathReport(CLIENT, now)).toMatchObject({ timeToDirectMs: 400, receivedNode: true, mtu: 1420 });
  });

  it("ask for another port rarely, and never while a direct path is in use", () => {
    const core = coreOf();
    core.handlePeerUpdates([{ kind: "node", id: CLIENT, node: peer(1) }], now);
    output.take();
    const stuck = (at: Instant): string[] => {
      core.handleEngineEvent({ kind: "direct-path-stuck", peer: key }, at);
      return output.take();
    };
    statuses.set(1, { path: direct });
    expect(stuck(now)).toEqual(["stuck"]);
    statuses.set(1, { path: undefined, endpoint: { finder: undefined } as PeerStatus["endpoint"] });
    expect(stuck(now)).toEqual(["stuck, rebind"]);
    expect(stuck(addMs(now, 9_999))).toEqual(["stuck"]);
    expect(stuck(addMs(now, 10_000))).toEqual(["stuck, rebind"]);
    core.handleEngineEvent({ kind: "direct-path-suspected", peer: key }, now);
    expect(output.take()).toEqual(["suspected"]);
  });
});
