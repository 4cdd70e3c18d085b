import { create } from "@bufbuild/protobuf";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  CoordinateRequest_LostPeerSchema,
  CoordinateRequestSchema,
  CoordinateResponse_PeerUpdate_Kind as Kind,
} from "coder-protocol/gen/tailnet_pb.js";
import { nodeToProto } from "coder-protocol/tailnet/node";
import { afterEach, expect, test, vi } from "vitest";
import type { AccessEvent } from "../auth/access-events.ts";
import { DomainError } from "../base/domain-error.ts";
import { DatabaseAway } from "../db/postgres/failures.ts";
import { Coordinator } from "./coordinator.ts";
import { LostPeers, type LostPeersOptions, MAX_WAITING_PEERS } from "./lost-peers.ts";
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
  const informed: string[] = [];
  const failures: unknown[] = [];
  const sink = {
    send: ({ peerUpdates = [] }: Response) => {
      for (const { id, kind } of peerUpdates) if (kind === Kind.DISCONNECTED) informed.push(uuidFromBytes(id!)!);
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
    log: { error: ({ err }: { readonly err: unknown }) => failures.push(err) },
  } as unknown as LostPeersOptions);
  lostPeers.onProxy(async () => proxyHolds);
  const over = new AbortController();
  const states = lostPeers.statements(AGENT, over.signal);
  return { coordinator, informed, lostPeers, failures, over, states };
}

/** Decisions that need no waiting have been made once this resolves. */
const decided = () => new Promise((resolve) => setImmediate(resolve));

afterEach(() => {
  vi.useRealTimers();
});

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
  const { coordinator, informed, states } = setup();
  states([stated(right)]);
  await decided();
  expect([coordinator.informsOfEnd(CLIENT, AGENT), informed]).toEqual([true, []]);
  coordinator.revoke((auth) => auth.endedBy({ kind: "user-gone", userId: "somebody else" }), "over", 0);
  expect(informed).toEqual([]);
  coordinator.revoke((auth) => auth.endedBy(event), "over", 0);
  expect(informed).toEqual([CLIENT]);
});

test.each<[string, TunnelRight, Partial<Facts>]>([
  ["a login that ended", user, { loginHolds: false }],
  ["connections that only browsers may have", user, { browsersOnly: true }],
  ["another agent", { ...user, agentId: OTHER_AGENT }, {}],
  ["the server, for another agent", { ...server, agentId: OTHER_AGENT }, {}],
  ["an agent that is gone", server, { agentExists: false }],
  ["a proxy that serves nothing of the agent", proxy, { proxyHolds: false }],
])("security 16: the agent is informed at once of the end of a right of %s", async (_name, right, facts) => {
  const { coordinator, informed, states } = setup(facts);
  states([stated(right)]);
  await decided();
  expect([coordinator.informsOfEnd(CLIENT, AGENT), informed]).toEqual([false, [CLIENT]]);
  expect(coordinator.remembered.lostPeers).toBe(0);
});

test("pages keep their tunnel where only browsers may have one", async () => {
  const { informed, states } = setup({ browsersOnly: true });
  states([stated({ ...user, forPages: true })]);
  await decided();
  expect(informed).toEqual([]);
});

test("a right of another peer, or of none, counts as ended for the agent that states it", async () => {
  const { informed, states } = setup();
  const foreign = create(CoordinateRequest_LostPeerSchema, {
    id: uuidToBytes(CLIENT),
    right: rights.seal(OTHER_AGENT, user),
  });
  states([foreign, create(CoordinateRequest_LostPeerSchema, { id: new Uint8Array(3) })]);
  await decided();
  expect(informed).toEqual([CLIENT]);
});

test("nothing is decided while the database does not answer; afterwards, everything stated is", async () => {
  vi.useFakeTimers();
  const { coordinator, informed, lostPeers, states } = setup();
  const lookUp = vi.fn((): Promise<boolean> => Promise.reject(new DatabaseAway(undefined)));
  lostPeers.onProxy(lookUp);
  states([stated(proxy)]);
  await vi.advanceTimersByTimeAsync(60_000);
  states([stated(proxy)]);
  expect([coordinator.informsOfEnd(CLIENT, AGENT), coordinator.remembered.lostPeers, informed]).toEqual([false, 0, []]);
  lookUp.mockResolvedValue(false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(informed).toEqual([CLIENT]);
});

test("what could not be looked up is looked up when it is stated again", async () => {
  const { informed, lostPeers, failures, states } = setup();
  lostPeers.onProxy(() => Promise.reject(new Error("a bug")));
  states([stated(proxy)]);
  await decided();
  expect([failures, informed]).toEqual([[new Error("a bug")], []]);
  lostPeers.onProxy(async () => false);
  states([stated(proxy)]);
  await decided();
  expect(informed).toEqual([CLIENT]);
});

test("security 16: a right that ends while it is being looked up counts as ended", async () => {
  const { coordinator, informed, lostPeers, states } = setup();
  const lookup = Promise.withResolvers<boolean>();
  lostPeers.onProxy(() => lookup.promise);
  states([stated(proxy)]);
  coordinator.revoke((auth) => auth.endedBy({ kind: "proxy-revoked", proxyId: "p" }), "over", 0);
  lookup.resolve(true);
  await decided();
  expect([coordinator.remembered.lostPeers, informed]).toEqual([0, [CLIENT]]);
});

test("a stream that ended decides nothing, and leaves no lookup behind", async () => {
  vi.useFakeTimers();
  const { coordinator, informed, lostPeers, failures, over, states } = setup();
  lostPeers.onProxy(() => Promise.reject(new DatabaseAway(undefined)));
  states([stated(proxy)]);
  await vi.advanceTimersByTimeAsync(10_000);
  over.abort();
  await vi.advanceTimersByTimeAsync(0);
  states([stated(proxy)]);
  expect([vi.getTimerCount(), coordinator.remembered.lostPeers, informed, failures]).toEqual([0, 0, [], []]);
});

const peerId = (n: number) => `6b0f8f4e-1c7a-4d6e-9a31-${n.toString(16).padStart(12, "0")}`;

test("a right is looked up once for all its peers, and few rights at a time", async () => {
  const { coordinator, lostPeers, states } = setup();
  let [running, most] = [0, 0];
  const lookUp = vi.fn(async () => {
    most = Math.max(most, ++running);
    await decided();
    running--;
    return true;
  });
  lostPeers.onProxy(lookUp);
  states(Array.from({ length: 100 }, (_, n) => stated({ ...proxy, proxyId: `p${n % 50}` }, peerId(n))));
  await vi.waitUntil(() => coordinator.remembered.lostPeers === 100);
  expect([lookUp.mock.calls.length, most]).toEqual([50, 8]);
});

test("a peer that is stated while its right is being looked up for another is decided with it", async () => {
  const { informed, lostPeers, states } = setup();
  const lookup = Promise.withResolvers<boolean>();
  const lookUp = vi.fn(() => lookup.promise);
  lostPeers.onProxy(lookUp);
  for (const n of [1, 2]) states([stated(proxy, peerId(n))]);
  lookup.resolve(false);
  await decided();
  expect([lookUp.mock.calls.length, informed]).toEqual([1, [peerId(1), peerId(2)]]);
});

test("a peer that is stated just after its right was decided is looked up again", async () => {
  const { informed, lostPeers, states } = setup();
  const lookup = Promise.withResolvers<boolean>();
  lostPeers.onProxy(() => lookup.promise);
  states([stated(proxy, peerId(1))]);
  lookup.resolve(false);
  // The last one is decided, whatever its place in the queue.
  for (let n = 2; n < 40; n++) {
    await Promise.resolve();
    states([stated(proxy, peerId(n))]);
  }
  await decided();
  expect(informed.toSorted()).toEqual(Array.from({ length: 39 }, (_, n) => peerId(n + 1)).toSorted());
});

test("partners take turns", async () => {
  const { lostPeers, states } = setup();
  const asked: string[] = [];
  lostPeers.onProxy(async (_right, agentId) => {
    asked.push(agentId);
    await decided();
    return true;
  });
  states(Array.from({ length: 50 }, (_, n) => stated({ ...proxy, proxyId: `p${n}` }, peerId(n))));
  lostPeers.statements(OTHER_AGENT, new AbortController().signal)([stated(proxy)]);
  await vi.waitUntil(() => asked.length === 51);
  expect(asked.indexOf(OTHER_AGENT)).toBe(9);
});

test("a limited number of peers waits for each stream; further ones count as ended", async () => {
  const { informed, lostPeers, states } = setup();
  lostPeers.onProxy(() => new Promise(() => undefined));
  const all = Array.from({ length: MAX_WAITING_PEERS + 1 }, (_, n) => stated(proxy, peerId(n)));
  for (let begin = 0; begin < all.length; begin += 256) states(all.slice(begin, begin + 256));
  expect(informed).toEqual([peerId(MAX_WAITING_PEERS)]);
});

test("a client that is connected is not judged by what an agent states", async () => {
  const { coordinator, informed, states } = setup({ loginHolds: false });
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
  states([stated(user)]);
  await decided();
  expect(informed).toEqual([]);
});
