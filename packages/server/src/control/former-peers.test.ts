/** Lost peers, and whether the coordinator ends them. */
import { create } from "@bufbuild/protobuf";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  CoordinateRequestSchema,
  CoordinateResponse_PeerUpdate_Kind as Kind,
  NodeSchema,
} from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import { expect, test } from "vitest";
import { Coordinator, type PeerHandle } from "./coordinator.ts";
import { MAX_FORMER_PER_HOLDER } from "./former-peers.ts";
import { agentAuth, clientAuth } from "./peer-auth.ts";
import type { Response } from "./peer-state.ts";

const MINUTE = 60_000;
const HOURS_73 = 73 * 60 * MINUTE;
const [CLIENT, AGENT, OTHER_AGENT] = [1, 2, 3].map(uuid) as [string, string, string];
const ada = clientAuth(() => true, {
  holder: "user ada",
  endedBy: (event) => event.kind === "user-gone" && event.userId === "ada",
});

function uuid(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`;
}

const keyOf = (n: number): Uint8Array => new Uint8Array(32).fill(n);

const nodeOf = (n: number) =>
  nodeToProto({
    id: BigInt(n),
    asOfUnixMs: 0,
    key: keyOf(n),
    disco: "",
    preferredDerp: 1,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: [],
    allowedIps: [],
    endpoints: [],
  });

/** Two agents, and a client with tunnels to both. */
function setup() {
  const records: string[] = [];
  const coordinator = new Coordinator({ onRecord: (record) => records.push(record.kind) });
  const [agent, other] = [AGENT, OTHER_AGENT].map((id) => {
    const ended: string[] = [];
    const send = ({ peerUpdates = [] }: Response): boolean => {
      for (const { id: peer, kind } of peerUpdates) if (kind === Kind.DISCONNECTED) ended.push(uuidFromBytes(peer!)!);
      return true;
    };
    coordinator.connect(
      id,
      agentAuth(id, () => false),
      { send, end: () => undefined },
      0,
    );
    return ended;
  });
  const client = connect(coordinator, 1);
  for (const to of [AGENT, OTHER_AGENT]) tunnel(client, to);
  return { coordinator, records, agent: agent!, other: other!, client };
}

function connect(coordinator: Coordinator, key: number): PeerHandle {
  const handle = coordinator.connect(CLIENT, ada, { send: () => true, end: () => undefined }, 0);
  handle.handle(create(CoordinateRequestSchema, { updateSelf: { node: nodeOf(key) } }), 0);
  return handle;
}

function tunnel(client: PeerHandle, to: string): void {
  client.handle(create(CoordinateRequestSchema, { addTunnel: { id: uuidToBytes(to) } }), 0);
}

/** Connects the client to another server, where it has a tunnel to each of these agents. */
function comesElsewhere(coordinator: Coordinator, ...to: string[]): void {
  const node = create(NodeSchema, nodeOf(1));
  coordinator.remotePeer(CLIENT, { key: keyOf(1), node, sessionId: undefined, right: undefined }, MINUTE);
  for (const agent of to) coordinator.remoteTunnel(CLIENT, agent, false, MINUTE);
}

test("a peer that returned at another server has ended for the agents with which it has no tunnel there", () => {
  const { coordinator, records, agent, other, client } = setup();
  client.lost(0);
  comesElsewhere(coordinator, AGENT);
  records.length = 0;
  coordinator.sweep(HOURS_73);
  expect({ agent, other, records }).toEqual({ agent: [], other: [CLIENT], records: [] });
  expect(coordinator.knowsKey(keyOf(1), HOURS_73)).toBe(true);
});

test("a peer that has all its tunnels again at another server is soon forgotten, and not ended when it is lost there", () => {
  const { coordinator, records, agent, other, client } = setup();
  client.lost(0);
  comesElsewhere(coordinator, AGENT, OTHER_AGENT);
  coordinator.sweep(16 * MINUTE);
  expect(coordinator.remembered.lostPeers).toBe(0);
  coordinator.remoteGone(CLIENT, "lost", "lost", 17 * MINUTE);
  records.length = 0;
  coordinator.sweep(HOURS_73);
  expect({ agent, other, records }).toEqual({ agent: [], other: [], records: [] });
});

test("security 16: the end of a returned peer's right also reaches the relay for the key that it had before", () => {
  const { coordinator, client } = setup();
  client.lost(0);
  const again = connect(coordinator, 2);
  for (const to of [AGENT, OTHER_AGENT]) tunnel(again, to);
  coordinator.revoke((auth) => auth.endedBy({ kind: "user-gone", userId: "ada" }), "access revoked", MINUTE);
  expect([1, 2].map((n) => coordinator.knowsKey(keyOf(n), MINUTE))).toEqual([false, false]);
});

test("security 16: an agent that states ever more lost peers takes no room from other agents", () => {
  const { coordinator, agent, other, client } = setup();
  client.lost(0);
  for (let n = 0; n <= MAX_FORMER_PER_HOLDER; n++) coordinator.remember(uuid(1_000 + n), ada, OTHER_AGENT, 0);
  expect({ agent, other }).toEqual({ agent: [], other: [uuid(1_000), uuid(1_001)] });
  expect(coordinator.informsOfEnd(CLIENT, AGENT)).toBe(true);
});

test("a peer that an agent stated is forgotten once no partner has to be informed of it", () => {
  const { coordinator } = setup();
  coordinator.remember(uuid(9), ada, AGENT, 0);
  expect(coordinator.remembered.lostPeers).toBe(1);
  coordinator.endLost(uuid(9), AGENT, "access ended", 0);
  expect(coordinator.remembered.lostPeers).toBe(0);
});
