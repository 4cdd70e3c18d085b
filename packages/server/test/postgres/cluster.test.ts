/** Several servers on one database, with peers of different servers over real connections. */
import { randomUUID } from "node:crypto";
import { uuidToBytes } from "coder-protocol/addresses";
import { afterEach, describe, expect, it, vi } from "vitest";
import { hexEncode, utf8 } from "wg-userspace/base/bytes";
import { copyOf } from "wg-userspace/derp/frame";
import { relayNode } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite as crypto, nodeRandom as random } from "wg-userspace/io/host/crypto-suite";
import { RelayConnection } from "wg-userspace/io/relay/relay-connection";
import { directRelayDialer } from "wg-userspace/io/relay/relay-dialer";
import { connectionId } from "../../src/base/connection-id.ts";
import type { ServerFlagValues } from "../../src/config/flags.ts";
import type { Parts } from "../../src/parts.ts";
import type { Change } from "../../src/workspaces/changes.ts";
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
import { TestAgent } from "../test-agent.ts";
import { freePort } from "./free-port.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
const TAILNET = "/api/v2/tailnet";
const eventually = { timeout: 20_000, interval: 20 };

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Servers with one state directory, which means one database and one key file. */
async function cluster(count: number, flags: ServerFlagValues = {}) {
  const stateDir = temporaryDirectory();
  const servers: TestServer[] = [];
  for (let i = 0; i < count; i++) servers.push(await replica(stateDir, i > 0, flags));
  const { token } = await firstUser(servers[0]!.url);
  const workspace = await addWorkspace(servers[0]!.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const secret = await agentToken(servers[0]!.url, token, workspace.id);
  return { stateDir, servers, token, agentId, agentToken: secret, workspaceId: workspace.id as string };
}

async function replica(stateDir: string, keep: boolean, flags: ServerFlagValues): Promise<TestServer> {
  const port = await freePort();
  const server = await startServer({
    stateDir,
    keep,
    flags: { "http-address": `127.0.0.1:${port}`, "derp-server-relay-url": `http://127.0.0.1:${port}`, ...flags },
  });
  cleanups.push(async () => server[Symbol.asyncDispose]());
  return server;
}

async function peer(server: TestServer, token: string, path: string): Promise<TestPeer> {
  const opened = await TestPeer.open(server.url, token, path);
  cleanups.push(async () => opened[Symbol.asyncDispose]());
  return opened;
}

const clientNode = (fill: number, key?: Uint8Array) => {
  const node = nodeOf({ id: BigInt(fill), fill, addresses: [`fd7a:115c:a1e0:1::${fill.toString(16)}`] });
  return key === undefined ? node : { ...node, key: Uint8Array.of(0x6e, 0x70, ...key) };
};

describe("two servers", () => {
  it("list each other, and forget one that has stopped", async () => {
    const { servers, token } = await cluster(2);
    const listed = async (at: number) =>
      (await send(servers[at]!.url, "GET", "/api/v2/replicas", { token })).json.map(
        (replica: { id: string; relay_address: string; error: string }) => replica.relay_address,
      );
    const [a, b] = servers.map(({ url }) => url);
    await vi.waitFor(async () => expect(await listed(0)).toEqual([a, b]), eventually);
    expect(await listed(1)).toEqual([b, a]);
    await servers[0]!.server.close();
    await vi.waitFor(async () => expect(await listed(1)).toEqual([b]), eventually);
  });

  it("security R10: close the sockets of a token that was revoked at the other one", async () => {
    const { servers, token } = await cluster(2);
    const [a, b] = servers as [TestServer, TestServer];
    const { token: bob } = await addMember(a.url, token, "bob");
    const client = await peer(b, bob, TAILNET);
    client.send({ updateSelf: { node: clientNode(9) } });
    await send(a.url, "POST", "/api/v2/users/logout", { token: bob });
    // If the server has not accepted the stream yet, the reason cannot be sent on it.
    expect(await client.next().catch(String)).toMatch(/access revoked|the connection ended/);
    expect((await send(b.url, "GET", "/api/v2/users/me", { token: bob })).status).toBe(401);
  });

  it("security 16: end the tunnel of a lost client whose right ends after its server has", async () => {
    const { servers, token, agentId, agentToken: secret } = await cluster(2);
    const [a, b] = servers as [TestServer, TestServer];
    const { token: bob } = await addMember(a.url, token, "bob");
    await send(a.url, "PUT", "/api/v2/users/bob/roles", { token, body: { roles: ["owner"] } });
    const client = await peer(a, bob, TAILNET);
    client.send({ updateSelf: { node: clientNode(9) } });
    client.tunnelTo(agentId);
    const agent = new TestAgent(agentId, secret);
    await agent.connect(b.url);
    cleanups.push(() => agent.cut());
    await agent.hasClients(1);
    client.connection.abandon();
    await agent.hasClients(1, 1);
    await vi.waitFor(
      () => expect(b.server.parts.control.coordinator.informsOfEnd(agent.clients[0]!, agentId)).toBe(true),
      eventually,
    );
    await a.server.close();
    await send(b.url, "PUT", "/api/v2/users/bob/status/suspend", { token });
    await agent.hasClients(0);
  });

  it("security R11: end an agent's connections at the other one, and its relay connections at both, with its token", async () => {
    const { servers, token, agentId, agentToken: secret, workspaceId } = await cluster(2);
    const [a, b] = servers as [TestServer, TestServer];
    const agent = await peer(b, secret, AGENT_RPC);
    // The same key at both relays.
    const relayed = [await relayClient(a)];
    relayed.push(await relayClient(b, relayed[0]!.privateKey));
    const key = Uint8Array.of(0x6e, 0x70, ...relayed[0]!.publicKey);
    agent.send({ updateSelf: { node: { ...agentNode(agentId), key } } });
    await vi.waitFor(
      () => expect(relayed.map(({ connection }) => connection.state)).toEqual(["ready", "ready"]),
      eventually,
    );
    const path = `/api/v2/workspaces/${workspaceId}/external-agent/main/rotate`;
    expect((await send(a.url, "POST", path, { token })).status).toBe(201);
    expect(await agent.next().catch(String)).toMatch(/access revoked|the connection ended/);
    for (const { connection } of relayed)
      await vi.waitFor(() => expect(connection.state).not.toBe("ready"), eventually);
    for (const { url, server } of servers) {
      await vi.waitFor(() => expect(server.parts.control.knowsKey(relayed[0]!.publicKey)).toBe(false), eventually);
      await expect(TestPeer.open(url, secret, AGENT_RPC)).rejects.toMatchObject({ status: 401 });
    }
  });

  it("end the tunnels of clients at both, and refuse new ones, when the deployment is left to browsers at one", async () => {
    const { servers, token, agentId, agentToken: secret } = await cluster(2);
    const agent = await peer(servers[0]!, secret, AGENT_RPC);
    agent.send({ updateSelf: { node: agentNode(agentId) } });
    const clients = await Promise.all(servers.map((server) => peer(server, token, TAILNET)));
    for (const [at, client] of clients.entries()) {
      client.send({ updateSelf: { node: clientNode(at + 3) } });
      client.tunnelTo(agentId);
      expect(await client.next()).toBe(`node ${agentId}`);
    }
    const path = "/api/v2/deployment/connection-policy";
    await send(servers[0]!.url, "PUT", path, { token, body: { browser_only: "default" } });
    for (const client of clients) {
      expect(await client.next()).toBe(`disconnected ${agentId}`);
      expect(await client.next()).toContain("Non-browser connections are disabled");
    }
    await expect(peer(servers[1]!, token, `/api/v2/workspaceagents/${agentId}/coordinate`)).rejects.toMatchObject({
      status: 409,
    });
    const shown = await send(servers[1]!.url, "GET", path, { token });
    expect(shown.json).toEqual({ browser_only: "default", set: "default", started_with: "off" });
  });

  it("wake the followers of a workspace and of its logs at both", async () => {
    const { servers, agentId } = await cluster(2);
    const [a, b] = servers as [TestServer, TestServer];
    const seen: Change[] = [];
    b.server.parts.changes.subscribe(`agent-logs:${agentId}`, (change) => seen.push(change));
    b.server.parts.changes.subscribe("workspaces", (change) => seen.push(change));
    const line = { createdAt: Date.now(), output: "hello from the other server", level: "info" as const };
    await a.server.parts.agentState.appendLogs(agentId, undefined, [line]);
    await vi.waitFor(() => {
      const logs = seen.flatMap((change) => (change.kind === "agent-logs" ? change.logs : []));
      expect(logs.map(({ output }) => output)).toEqual([line.output]);
    }, eventually);
    await a.server.parts.agentState.connected(agentId, "2.6", "c");
    await vi.waitFor(() => expect(seen.map(({ kind }) => kind)).toContain("workspace"), eventually);
  });

  it("leave an agent connected whose older connection ends late", async () => {
    const { servers, agentId } = await cluster(2);
    const [a, b] = servers.map(({ server }) => server.parts) as [Parts, Parts];
    await a.agentState.connected(agentId, "2.6", "first");
    await b.agentState.connected(agentId, "2.6", "second");
    await a.agentState.disconnected(agentId, "first");
    expect((await a.store.agents.byId(agentId))!.disconnected_at).toBeNull();
    await b.agentState.disconnected(agentId, "second");
    expect((await a.store.agents.byId(agentId))!.disconnected_at).not.toBeNull();
  });

  it("keep the agent connection that began last, even if an older one is stored later", async () => {
    const { servers, agentId } = await cluster(2);
    const [a, b] = servers.map(({ server }) => server.parts) as [Parts, Parts];
    const older = connectionId(Date.now(), "");
    const newer = connectionId(0, older);
    expect(await a.agentState.connected(agentId, "2.6", newer)).toBe(true);
    expect(await b.agentState.connected(agentId, "2.6", older)).toBe(true);
    expect(await Promise.all([a.agentState.heartbeat(agentId, newer), b.agentState.heartbeat(agentId, older)])).toEqual(
      [true, false],
    );
    await b.agentState.disconnected(agentId, older);
    expect(await a.store.agents.byId(agentId)).toMatchObject({ connection_id: newer, disconnected_at: null });
    // Earlier releases use random ids.
    await b.agentState.connected(agentId, "2.6", randomUUID());
    await a.agentState.connected(agentId, "2.6", connectionId(Date.now(), ""));
    expect((await a.store.agents.byId(agentId))!.connection_id).toMatch(/^.{14}7/);
  });
});

describe("two agents with one token", () => {
  it("at two servers do not replace each other without end", async () => {
    const { servers, token, agentId, agentToken: secret } = await cluster(2);
    let previous: TestPeer | undefined;
    const comes = async (index: number): Promise<TestPeer> => {
      const came = await peer(servers[index]!, secret, AGENT_RPC);
      came.send({ updateSelf: { node: agentNode(agentId) } });
      if (previous !== undefined) expect(await previous.next()).toContain("overwritten");
      // An agent does this before it dials again.
      await previous?.connection.close();
      previous = came;
      return came;
    };
    const refusal = async (): Promise<{ status: number; message: string }> => {
      for (let turn = 0; turn < 20; turn++) {
        try {
          await comes(turn % 2);
        } catch (error) {
          return error as { status: number; message: string };
        }
      }
      throw new Error("they replaced each other without end");
    };
    expect(await refusal()).toMatchObject({ status: 409, message: expect.stringContaining("same token") });
    await vi.waitFor(async () => {
      const views = await Promise.all(
        servers.map(({ url }) => send(url, "GET", `/api/v2/workspaceagents/${agentId}`, { token })),
      );
      expect(views.map(({ json }) => json.health.reason).join(" ")).toContain("several agents use the token");
      expect(views.map(({ json }) => json.status)).toEqual(["connected", "connected"]);
    }, eventually);
  });
});

describe("peers of two servers", () => {
  it("learn of each other, and that the agent is ready", async () => {
    const { servers, token, agentId, agentToken: secret } = await cluster(2);
    const agent = await peer(servers[0]!, secret, AGENT_RPC);
    agent.send({ updateSelf: { node: agentNode(agentId) } });
    const client = await peer(servers[1]!, token, TAILNET);
    client.send({ updateSelf: { node: clientNode(5) } });
    client.tunnelTo(agentId);
    expect(await client.next()).toBe(`node ${agentId}`);
    const line = await agent.next();
    expect(line).toMatch(/^node /);
    agent.send({ readyForHandshake: [{ id: uuidToBytes(line.slice("node ".length)) }] });
    expect(await client.next()).toBe(`ready ${agentId}`);
    // Each server shows how the agent is reached, as far as it knows.
    await vi.waitFor(async () => {
      for (const { url } of servers) {
        const network = await send(url, "GET", `/api/v2/workspaceagents/${agentId}/network`, { token });
        expect(network.json).toMatchObject({ home: { region_id: 999 }, partial: true });
      }
    }, eventually);
  });

  it("receive nothing when the agent moves from one server to the other", async () => {
    const { servers, token, agentId, agentToken: secret } = await cluster(2);
    const before = await peer(servers[0]!, secret, AGENT_RPC);
    before.send({ updateSelf: { node: agentNode(agentId) } });
    const client = await peer(servers[0]!, token, TAILNET);
    client.tunnelTo(agentId);
    expect(await client.next()).toBe(`node ${agentId}`);
    const after = await peer(servers[1]!, secret, AGENT_RPC);
    after.send({ updateSelf: { node: agentNode(agentId) } });
    expect(await before.next()).toBe("error: peer ID overwritten by new connection");
    after.send({ updateSelf: { node: agentNode(agentId, 43n) } });
    expect(await client.next()).toBe(`node ${agentId}`);
  });

  it("are not informed of a loss when a peer returns from a stopped server to another one", async () => {
    const { servers, token, agentId, agentToken: secret } = await cluster(2);
    const before = await peer(servers[1]!, secret, AGENT_RPC);
    before.send({ updateSelf: { node: agentNode(agentId) } });
    const client = await peer(servers[0]!, token, TAILNET);
    client.tunnelTo(agentId);
    expect(await client.next()).toBe(`node ${agentId}`);
    await servers[1]!.server.close();
    const after = await peer(servers[0]!, secret, AGENT_RPC);
    after.send({ updateSelf: { node: agentNode(agentId, 43n) } });
    expect(await client.next()).toBe(`node ${agentId}`);
  });

  it("reach each other through the relays of both", async () => {
    const { servers, token, agentId, agentToken: secret } = await cluster(2);
    const [a, b] = [await relayClient(servers[0]!), await relayClient(servers[1]!)];
    const agent = await peer(servers[0]!, secret, AGENT_RPC);
    agent.send({ updateSelf: { node: { ...agentNode(agentId), key: Uint8Array.of(0x6e, 0x70, ...b.publicKey) } } });
    const client = await peer(servers[1]!, token, TAILNET);
    client.send({ updateSelf: { node: clientNode(6, a.publicKey) } });
    const packet = utf8("over the mesh");
    await vi.waitFor(() => {
      a.connection.send(b.publicKey, packet, 0, packet.length);
      expect(b.received).toContainEqual({ source: hexEncode(a.publicKey), bytes: packet });
    }, eventually);
    const links = servers.map(({ server }) => server.parts.mesh!.status().map(({ state }) => state));
    expect(links).toEqual([["up"], ["up"]]);
  });
});

describe("a server that is stopped while others run", () => {
  /** An agent at the server that will stop, a client there, and a client at each other server that has its node. */
  async function drained(count: number, drain: string) {
    const all = await cluster(count, { "shutdown-drain": drain });
    const { servers, token, agentId, agentToken: secret } = all;
    await vi.waitFor(() => expect(servers[0]!.server.parts.replicas()).toHaveLength(count), eventually);
    const agent = await peer(servers[0]!, secret, AGENT_RPC);
    agent.send({ updateSelf: { node: agentNode(agentId) } });
    const clients: TestPeer[] = [];
    for (const [at, server] of servers.entries()) {
      const client = await peer(server, token, TAILNET);
      client.send({ updateSelf: { node: clientNode(20 + at) } });
      client.tunnelTo(agentId);
      expect(await client.next()).toBe(`node ${agentId}`);
      clients.push(client);
    }
    return { ...all, agent, clients };
  }

  it("is not ready at once, serves new connections for a while, and refuses them while what is connected ends", async () => {
    const { servers, token, agent, clients } = await drained(2, "10s");
    const [a, b] = servers as [TestServer, TestServer];
    const ready = async ({ url }: TestServer) => (await fetch(`${url}/readyz`)).status;
    expect(await ready(a)).toBe(200);
    const draining = a.server.drain();
    const [late, ...statuses] = await Promise.all([peer(a, token, TAILNET), ready(a), ready(b)]);
    expect(statuses).toEqual([503, 200]);
    const ended = await Promise.all([agent, clients[0]!, late].map(({ connection }) => connection.closed));
    for (const reason of ended) expect(String(reason)).toContain("restarting");
    await expect(peer(a, token, TAILNET)).rejects.toMatchObject({
      status: 503,
      message: expect.stringContaining("is being stopped"),
    });
    await draining;
    expect((await fetch(`${a.url}/healthz`)).status).toBe(200);
    expect(a.log.text).toContain("drain ended");
  });

  it("loses none of its peers that move to another server, for clients at any server", async () => {
    const { servers, agentId, agentToken: secret, agent, clients } = await drained(3, "100ms");
    const stopped = servers[0]!.server.drain().then(() => servers[0]!.server.close());
    await agent.connection.closed;
    const after = await peer(servers[1]!, secret, AGENT_RPC);
    after.send({ updateSelf: { node: agentNode(agentId) } });
    await stopped;
    after.send({ updateSelf: { node: agentNode(agentId, 43n) } });
    // The next message for each is the agent's new node: it was neither lost nor gone in between.
    for (const client of clients.slice(1)) expect(await client.next()).toBe(`node ${agentId}`);
    for (const client of clients.slice(1)) await client.connection.close(); // nothing else was received
  });

  it("ends its own clients without informing them of a loss", async () => {
    const { servers, agentId, agent, clients } = await drained(2, "100ms");
    const heard: string[] = [];
    const listening = (async () => {
      for (;;) heard.push(await clients[0]!.next());
    })().catch(() => undefined); // its connection ended
    await servers[0]!.server.drain();
    await Promise.all([agent.connection.closed, listening]);
    expect(heard.filter((text) => text.includes(agentId))).toEqual([]);
  });
});

/** A client of a server's relay, whose key no peer has announced yet. */
async function relayClient(server: TestServer, privateKey = random.bytes(32).slice()) {
  const publicKey = crypto.publicKey(privateKey);
  const received: { readonly source: string; readonly bytes: Uint8Array }[] = [];
  const { port } = server;
  const node = relayNode({ name: "1", regionId: 1, hostName: "127.0.0.1", derpPort: port, forceHttp: true });
  const connection = new RelayConnection({
    region: { regionId: 1, regionCode: "t", regionName: "t", embeddedRelay: false, avoid: false, nodes: [node] },
    privateKey,
    publicKey,
    crypto,
    random,
    clock: monotonicNow,
    dial: directRelayDialer,
    handler: {
      onPacket: (_region, source, bytes, offset, length) =>
        received.push({ source: hexEncode(source), bytes: copyOf(bytes, offset, length) }),
    },
  });
  cleanups.push(() => connection.close());
  return { connection, privateKey, publicKey, received };
}
