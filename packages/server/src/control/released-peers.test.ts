/** Peers whose streams a server ends itself, because it stops or cannot serve them. */
import { create } from "@bufbuild/protobuf";
import { agentAddresses, uuidToBytes } from "coder-protocol/addresses";
import { CoordinateRequestSchema, CoordinateResponse_PeerUpdate_Kind as Kind } from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import { describe, expect, it } from "vitest";
import { isolationEffects } from "./cluster/isolation-effects.ts";
import { Coordinator } from "./coordinator.ts";
import type { CoordinatorRecord } from "./coordinator-records.ts";
import { agentAuth, clientAuth } from "./peer-auth.ts";

const AGENT = "00000000-0000-4000-8000-00000000000a";
const CLIENT = "00000000-0000-4000-8000-000000000001";
const MINUTE = 60_000;
const KIND_NAMES: Readonly<Record<number, string>> = { [Kind.LOST]: "lost", [Kind.DISCONNECTED]: "disconnected" };

const keyOf = (fill: number) => new Uint8Array(32).fill(fill);
const nodeOf = (fill: number, addresses: readonly string[]) =>
  nodeToProto({
    id: BigInt(fill),
    asOfUnixMs: 0,
    key: keyOf(fill),
    disco: "",
    preferredDerp: 999,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: addresses.map((address) => `${address}/128`),
    allowedIps: addresses.map((address) => `${address}/128`),
    endpoints: [],
  });

/** An agent and its client, and a record of what is reported to them, to other servers and to the relay. */
function pair() {
  const records: CoordinatorRecord[] = [];
  const keysGone: Uint8Array[] = [];
  const coordinator = new Coordinator({
    onRecord: (record) => records.push(record),
    onKeyGone: (key) => keysGone.push(key),
  });
  const connect = (id: string, at: number, fill: number) => {
    const heard: string[] = [];
    const auth =
      id === AGENT
        ? agentAuth(AGENT, (event) => event.kind === "agent-token-rotated")
        : clientAuth(() => true, { holder: "user ada", endedBy: () => false });
    const addresses = id === AGENT ? agentAddresses(AGENT) : ["fd7a:115c:a1e0::1"];
    const sink = {
      send: ({ error, peerUpdates }: { error?: string; peerUpdates?: readonly { kind?: Kind }[] }) => {
        if (error !== undefined) heard.push(error);
        for (const { kind } of peerUpdates ?? []) heard.push(KIND_NAMES[kind ?? 0] ?? "node");
        return true;
      },
      end: () => heard.push("end"),
    };
    const handle = coordinator.connect(id, auth, sink, at);
    handle.handle(create(CoordinateRequestSchema, { updateSelf: { node: nodeOf(fill, addresses) } }), at);
    if (id === CLIENT) handle.handle(create(CoordinateRequestSchema, { addTunnel: { id: uuidToBytes(AGENT) } }), at);
    return { heard, handle };
  };
  const agent = connect(AGENT, 0, 1);
  const client = connect(CLIENT, 0, 2);
  agent.heard.length = client.heard.length = records.length = 0;
  return { coordinator, records, keysGone, connect, agent, client };
}

describe("a released peer", () => {
  it("is neither lost nor gone, for its partners, for other servers and for the relay", () => {
    const { coordinator, records, keysGone, agent, client } = pair();
    coordinator.release(AGENT, "coordinator unhealthy");
    agent.handle.lost(1); // its stream has ended
    coordinator.sweep(20 * MINUTE);
    expect(agent.heard).toEqual(["coordinator unhealthy", "end"]);
    expect(client.heard).toEqual([]);
    expect(records).toEqual([]);
    expect(coordinator.knowsKey(keyOf(1), 20 * MINUTE)).toBe(true);
    expect(keysGone).toEqual([]);
  });

  it("comes back here as if it had not been away", () => {
    const { coordinator, records, keysGone, connect, client } = pair();
    coordinator.release(AGENT);
    connect(AGENT, 5, 1);
    coordinator.endReleased(10);
    expect(client.heard).toEqual([]);
    expect(records.filter(({ kind }) => kind === "gone")).toEqual([]);
    coordinator.expel(AGENT, "access revoked", 20);
    expect(keysGone).toEqual([keyOf(1)]); // counted once
  });

  it("is lost if it does not return in time, and its key leaves after the usual time", () => {
    const { coordinator, records, client } = pair();
    coordinator.release(AGENT);
    coordinator.endReleased(10);
    coordinator.endReleased(11);
    expect(client.heard).toEqual(["lost"]);
    expect(records).toEqual([{ kind: "gone", id: AGENT, end: "lost", reason: "lost" }]);
    expect(coordinator.knowsKey(keyOf(1), 14 * MINUTE)).toBe(true);
    expect(coordinator.knowsKey(keyOf(1), 16 * MINUTE)).toBe(false);
  });

  it("has moved when another server has it", () => {
    const { coordinator, records, client } = pair();
    coordinator.release(AGENT);
    coordinator.moved(AGENT, 10);
    coordinator.endReleased(20);
    expect(client.heard).toEqual([]);
    expect(records).toEqual([{ kind: "gone", id: AGENT, end: "disconnected", reason: "moved" }]);
  });

  it("is expelled when its right ends meanwhile", () => {
    const { coordinator, keysGone, client } = pair();
    coordinator.release(AGENT);
    coordinator.revoke((auth) => auth.endedBy({ kind: "agent-token-rotated", agentId: AGENT }), "access revoked", 10);
    expect(client.heard).toEqual(["disconnected"]);
    expect(keysGone).toEqual([keyOf(1)]);
  });
});

describe("a server that is isolated for 15 min", () => {
  it("security R14: admits no key to its relay that it cannot confirm, until peers connect again", () => {
    const { coordinator, keysGone, connect, client } = pair();
    let othersForgotten = 0;
    const streamsEndedWith: number[] = [];
    const control = {
      coordinator,
      refuse: () => undefined,
      release: ({ error }: { error?: string }) => {
        for (const id of [AGENT, CLIENT]) coordinator.release(id, error);
        return Promise.resolve(2);
      },
    };
    const log = { warn: () => undefined, error: () => undefined } as unknown as Parameters<
      typeof isolationEffects
    >[0]["log"];
    const view = { forgetOthers: () => void othersForgotten++ };
    const relayKeys = { endAll: () => void streamsEndedWith.push(keysGone.length) };
    const effects = isolationEffects({ control, view, relayKeys, now: () => 15 * MINUTE, log });
    effects.shed();
    effects.freeze();
    // The keys must leave only after the streams have ended: at another server they may be in use.
    expect(streamsEndedWith).toEqual([0, 0]);
    expect(client.heard).toEqual(["coordinator unhealthy", "end"]);
    expect(keysGone).toEqual([keyOf(1), keyOf(2)]);
    for (const fill of [1, 2]) expect(coordinator.knowsKey(keyOf(fill), 15 * MINUTE)).toBe(false);
    expect(othersForgotten).toBe(1);
    connect(AGENT, 16 * MINUTE, 1);
    expect(coordinator.knowsKey(keyOf(1), 16 * MINUTE)).toBe(true);
  });
});
