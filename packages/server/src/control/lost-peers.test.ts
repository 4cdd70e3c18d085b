import { create } from "@bufbuild/protobuf";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  CoordinateRequest_LostPeerSchema,
  CoordinateRequestSchema,
  CoordinateResponse_PeerUpdate_Kind as Kind,
} from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import { expect, test } from "vitest";
import type { AccessEvent } from "../auth/access-events.ts";
import { DomainError } from "../base/domain-error.ts";
import { Coordinator } from "./coordinator.ts";
import { LostPeers, type LostPeersOptions } from "./lost-peers.ts";
import { agentAuth, clientAuth } from "./peer-auth.ts";
import type { Response } from "./peer-state.ts";
import { SealedRights, type TunnelRight } from "./sealed-rights.ts";

const AGENT = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11";
const OTHER_AGENT = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d12";
const CLIENT = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d13";
const rights = new SealedRights(new Uint8Array(32));
const user: TunnelRight = { kind: "user", userId: "ada", keyId: "k", agentId: undefined, forPages: false };

interface Facts {
  readonly loginHolds: boolean;
  readonly browsersOnly: boolean;
  readonly agentExists: boolean;
  readonly proxyHolds: boolean;
}
const all: Facts = { loginHolds: true, browsersOnly: false, agentExists: true, proxyHolds: true };

/** A server that has just started, with one agent. */
function setup(facts: Partial<Facts> = {}) {
  const { loginHolds, browsersOnly, agentExists, proxyHolds } = { ...all, ...facts };
  const coordinator = new Coordinator();
  const told: string[] = [];
  const sink = {
    send: ({ peerUpdates = [] }: Response) => {
      for (const { id, kind } of peerUpdates) if (kind === Kind.DISCONNECTED) told.push(uuidFromBytes(id!)!);
      return true;
    },
    end: () => undefined,
  };
  coordinator.connect(
    AGENT,
    agentAuth(AGENT, () => false),
    sink,
    0,
  );
  const lostPeers = new LostPeers({
    coordinator,
    rights,
    authenticator: { stillHolds: async () => loginHolds },
    store: { users: { byId: async () => ({}) }, agents: { byId: async () => (agentExists ? {} : undefined) } },
    connectionPolicies: { refusal: async () => (browsersOnly ? new DomainError("forbidden", "no") : undefined) },
    clock: { now: () => 0 },
  } as unknown as LostPeersOptions);
  lostPeers.onProxy(async () => proxyHolds);
  return { coordinator, told, lostPeers };
}

const stated = (right: TunnelRight, id = CLIENT) =>
  create(CoordinateRequest_LostPeerSchema, { id: uuidToBytes(id), right: rights.seal(id, right) });

const server: TunnelRight = { kind: "server", agentId: AGENT };
const proxy: TunnelRight = { kind: "proxy", proxyId: "p", generation: 1 };
const deleted: AccessEvent = { kind: "workspace-deleted", workspaceId: "w", agentIds: [AGENT] };

test.each<[string, TunnelRight, AccessEvent]>([
  ["a user", user, { kind: "user-gone", userId: "ada" }],
  ["a user's single agent", { ...user, agentId: AGENT }, { kind: "key-revoked", keyId: "k", userId: "ada" }],
  ["the server", server, deleted],
  ["a workspace proxy", proxy, { kind: "proxy-revoked", proxyId: "p" }],
])("security 16: a stated client of %s is watched over until its right ends", async (_name, right, event) => {
  const { coordinator, told, lostPeers } = setup();
  await lostPeers.stated(AGENT, [stated(right)]);
  expect([coordinator.watchesOver(CLIENT, AGENT), told]).toEqual([true, []]);
  coordinator.revoke((auth) => auth.endedBy({ kind: "user-gone", userId: "somebody else" }), "over", 0);
  expect(told).toEqual([]);
  coordinator.revoke((auth) => auth.endedBy(event), "over", 0);
  expect(told).toEqual([CLIENT]);
});

test.each<[string, TunnelRight, Partial<Facts>]>([
  ["a login that ended", user, { loginHolds: false }],
  ["connections that only browsers may have", user, { browsersOnly: true }],
  ["another agent", { ...user, agentId: OTHER_AGENT }, {}],
  ["the server, for another agent", { ...server, agentId: OTHER_AGENT }, {}],
  ["an agent that is gone", server, { agentExists: false }],
  ["a proxy that serves nothing of the agent", proxy, { proxyHolds: false }],
])("security 16: the agent is informed at once of the end of a right of %s", async (_name, right, facts) => {
  const { coordinator, told, lostPeers } = setup(facts);
  await lostPeers.stated(AGENT, [stated(right)]);
  expect([coordinator.watchesOver(CLIENT, AGENT), told]).toEqual([false, [CLIENT]]);
});

test("pages keep their tunnel where only browsers may have one", async () => {
  const { told, lostPeers } = setup({ browsersOnly: true });
  await lostPeers.stated(AGENT, [stated({ ...user, forPages: true })]);
  expect(told).toEqual([]);
});

test("a right of another peer, or of none, is over for the agent that states it", async () => {
  const { told, lostPeers } = setup();
  const foreign = create(CoordinateRequest_LostPeerSchema, {
    id: uuidToBytes(CLIENT),
    right: rights.seal(OTHER_AGENT, user),
  });
  await lostPeers.stated(AGENT, [foreign, create(CoordinateRequest_LostPeerSchema, { id: new Uint8Array(3) })]);
  expect(told).toEqual([CLIENT]);
});

test("nothing is decided while the database does not answer, and what was stated is watched over", async () => {
  const { coordinator, told, lostPeers } = setup();
  lostPeers.onProxy(() => Promise.reject(new Error("no database")));
  await expect(lostPeers.stated(AGENT, [stated(proxy)])).rejects.toThrow("no database");
  expect([coordinator.watchesOver(CLIENT, AGENT), told]).toEqual([true, []]);
});

test("a client that is connected is not judged by what an agent states", async () => {
  const { coordinator, told, lostPeers } = setup({ loginHolds: false });
  const auth = clientAuth(() => true, { holder: "user ada", endedBy: () => false });
  const client = coordinator.connect(CLIENT, auth, { send: () => true, end: () => undefined }, 0);
  const node = nodeToProto({
    id: 1n,
    asOfUnixMs: 0,
    key: new Uint8Array(32),
    disco: "",
    preferredDerp: 1,
    derpLatency: new Map(),
    derpForcedWebsocket: new Map(),
    addresses: [],
    allowedIps: [],
    endpoints: [],
  });
  client.handle(create(CoordinateRequestSchema, { updateSelf: { node }, addTunnel: { id: uuidToBytes(AGENT) } }), 0);
  await lostPeers.stated(AGENT, [stated(user)]);
  expect(told).toEqual([]);
});
