/** Servers of two releases on one database: each has to understand or ignore what the other writes. */
import { randomUUID } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { uuidToBytes } from "coder-protocol/addresses";
import { NodeSchema } from "coder-protocol/gen/tailnet_pb.js";
import pg from "pg";
import { afterEach, describe, expect, it, vi } from "vitest";
import { CLUSTER_PROTOCOL } from "../../src/control/cluster/protocol.ts";
import {
  addMember,
  addWorkspace,
  agentToken,
  firstUser,
  send,
  startServer,
  type TestServer,
  temporaryDirectory,
} from "../helpers.ts";
import { agentNode, nodeOf, TestPeer } from "../peers.ts";
import { freePort } from "./free-port.ts";
import { type PeerOfOne, type RowOfOne, ServerOfOne } from "./protocol-one.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
const TAILNET = "/api/v2/tailnet";
const eventually = { timeout: 40_000, interval: 50 };
/** A killed server looks current for 6 s, and one that starts waits that long for it. */
const SLOW_MS = 60_000;

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(stateDir: string, keep = true): Promise<TestServer> {
  const port = await freePort();
  const flags = { "http-address": `127.0.0.1:${port}`, "derp-server-relay-url": `http://127.0.0.1:${port}` };
  const server = await startServer({ stateDir, keep, flags });
  cleanups.push(async () => server[Symbol.asyncDispose]());
  return server;
}

/** A server of this release with a workspace, and the URL of its database. */
async function deployment() {
  const stateDir = temporaryDirectory();
  const server = await start(stateDir, false);
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const secret = await agentToken(server.url, token, workspace.id);
  const { postgres } = server.server.parts.config;
  const url = postgres !== undefined && "url" in postgres.source ? postgres.source.url : "";
  return { stateDir, server, token, agentId, agentToken: secret, url };
}

async function beside(url: string, later?: Parameters<typeof ServerOfOne.join>[1]): Promise<ServerOfOne> {
  const other = await ServerOfOne.join(url, later);
  cleanups.push(async () => other[Symbol.asyncDispose]());
  return other;
}

async function peer(server: TestServer, token: string, path: string): Promise<TestPeer> {
  const opened = await TestPeer.open(server.url, token, path);
  cleanups.push(async () => opened[Symbol.asyncDispose]());
  return opened;
}

function peerOf(id: string, kind: number, node: ReturnType<typeof nodeOf>): PeerOfOne {
  const message = create(NodeSchema, node);
  return { id, kind, key: message.key.subarray(2), node: toBinary(NodeSchema, message) };
}

const clientNode = (fill: number) =>
  nodeOf({ id: BigInt(fill), fill, addresses: [`fd7a:115c:a1e0:1::${fill.toString(16)}`] });

async function row(other: ServerOfOne, wanted: Partial<RowOfOne>): Promise<RowOfOne> {
  return await vi.waitFor(async () => {
    const found = (await other.read()).find((read) =>
      Object.entries(wanted).every(([name, value]) => read[name as keyof RowOfOne] === value),
    );
    if (found === undefined) throw new Error(`no row with ${JSON.stringify(wanted)}`);
    return found;
  }, eventually);
}

describe("a server of the first protocol beside one of this release", () => {
  it("has an agent that a client of this one reaches, and knows that client", async () => {
    const { server, url, token, agentId } = await deployment();
    const other = await beside(url);
    await other.write({ peers: [peerOf(agentId, 0, agentNode(agentId))] });
    const client = await peer(server, token, TAILNET);
    client.send({ updateSelf: { node: clientNode(5) } });
    client.tunnelTo(agentId);
    expect(await client.next()).toBe(`node ${agentId}`);
    const { a: clientId } = await row(other, { kind_of_row: "tunnel", b: agentId, state: 0 });
    expect(await row(other, { kind_of_row: "peer", a: clientId, state: 0, kind: 1 })).toMatchObject({
      key: Buffer.alloc(32, 5),
    });
    expect(fromBinary(NodeSchema, (await other.nodeOf(clientId))!)).toMatchObject({ id: 5n });
    await other.write({ signals: [{ from: agentId, to: clientId }] });
    expect(await client.next()).toBe(`ready ${agentId}`);
    // It is informed by the same kind of hint, and of the end too.
    await vi.waitFor(() => expect(other.hints.join()).toMatch(/[0-9a-f-]{36} [0-9]+(,|$)/), eventually);
    client.send({ disconnect: {} });
    await row(other, { kind_of_row: "peer", a: clientId, state: 1 });
    await row(other, { kind_of_row: "tunnel", a: clientId, b: agentId, state: 1 });
  });

  it("has a client that reaches an agent of this one", async () => {
    const { server, url, agentId, agentToken: secret } = await deployment();
    const other = await beside(url);
    const agent = await peer(server, secret, AGENT_RPC);
    agent.send({ updateSelf: { node: agentNode(agentId) } });
    await row(other, { kind_of_row: "peer", a: agentId, state: 0, kind: 0 });
    const clientId = randomUUID();
    await other.write({ peers: [peerOf(clientId, 1, clientNode(6))], tunnels: [{ from: clientId, to: agentId }] });
    expect(await agent.next()).toBe(`node ${clientId}`);
    agent.send({ readyForHandshake: [{ id: uuidToBytes(clientId) }] });
    await row(other, { kind_of_row: "signal", a: agentId, b: clientId });
    await other.write({ peers: [{ ...peerOf(clientId, 1, clientNode(6)), state: 2 }] });
    expect(await agent.next()).toBe(`lost ${clientId}`);
  });

  it("ends connections here whose right ended there, and is informed of rights that end here", async () => {
    const { server, url, token } = await deployment();
    const other = await beside(url);
    const { token: bob, id: userId } = await addMember(server.url, token, "bob");
    const client = await peer(server, bob, TAILNET);
    client.send({ updateSelf: { node: clientNode(7) } });
    await row(other, { kind_of_row: "peer", state: 0, kind: 1 });
    await other.write({ events: [{ kind: "access", body: JSON.stringify({ kind: "user-gone", userId }) }] });
    expect(await client.next().catch(String)).toMatch(/access revoked|the connection ended/);
    await send(server.url, "POST", "/api/v2/users/logout", { token: bob });
    const { reason } = await row(other, { kind_of_row: "event", a: "access" });
    expect(JSON.parse(reason)).toEqual({ kind: "key-revoked", keyId: bob.split("-")[0], userId });
  });
});

/** Changes of a release that only add to the schema: it states that older programs may continue. */
const ADDED = [
  ...["tailnet_servers", "tailnet_peers", "tailnet_tunnels", "tailnet_signals", "cluster_events", "replicas"].map(
    (table) => `alter table ${table} add column added_later text not null default 'later'`,
  ),
  "create table added_later (id text primary key)",
  "insert into schema_migrations (version, name, applied_at, compatible_from) values (9999, 'a later one', 0, 9)",
];

async function updateSchema(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of ADDED) await client.query(statement);
  } finally {
    await client.end();
  }
}

describe("a server of the next protocol beside one of this release", () => {
  it("may add columns, tables, kinds and words: this one ignores them, continues, and starts", async () => {
    const { stateDir, server, url, token, agentId } = await deployment();
    const client = await peer(server, token, TAILNET);
    client.send({ updateSelf: { node: clientNode(8) } });
    client.tunnelTo(agentId);
    await updateSchema(url);
    const other = await beside(url, { protocol: CLUSTER_PROTOCOL + 1, behindHint: " and more" });
    await other.write({
      peers: [peerOf(randomUUID(), 9, clientNode(9))],
      events: [
        { kind: "weather", body: JSON.stringify("fine") },
        { kind: "weather", body: "not JSON" },
      ],
    });
    await other.write({ peers: [peerOf(agentId, 0, agentNode(agentId))] });
    expect(await client.next()).toBe(`node ${agentId}`);
    const second = await start(stateDir);
    const late = await peer(second, token, TAILNET);
    late.send({ updateSelf: { node: clientNode(10) } });
    late.tunnelTo(agentId);
    expect(await late.next()).toBe(`node ${agentId}`);
    await vi.waitFor(() => expect(server.log.text).toContain("replica joined"), eventually);
    for (const { log } of [server, second]) expect(log.text).not.toContain("not valid");
  });
});

describe("a server that is two protocols away", () => {
  it(
    "keeps this one from starting, which names it and writes nothing, until it stops",
    async () => {
      const { stateDir, server, url } = await deployment();
      await server.server.close();
      const other = await beside(url, { protocol: CLUSTER_PROTOCOL + 2 });
      const before = await other.read();
      await expect(start(stateDir)).rejects.toMatchObject({
        code: "ERR_CLUSTER_PROTOCOL",
        why: expect.stringContaining(`protocol ${CLUSTER_PROTOCOL + 2}`),
      });
      expect(await other.read()).toEqual(before);
      await other.drain();
      await start(stateDir);
    },
    SLOW_MS,
  );
});
