/** Servers that are cut off from their database: bytes are lost without a reset of any connection. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  addWorkspace,
  agentToken,
  firstUser,
  login,
  startServer,
  type TestServer,
  temporaryDirectory,
} from "../helpers.ts";
import { agentNode, nodeOf, TestPeer } from "../peers.ts";
import { freePort } from "./free-port.ts";
import { testDatabase } from "./test-database.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
const TAILNET = "/api/v2/tailnet";
const eventually = { timeout: 40_000, interval: 50 };

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Passes bytes between a server and its database, until it starts to drop them in both directions. */
class Wire {
  swallows = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(target: URL) {
    this.#server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.on("data", (bytes) => this.swallows || to.write(bytes));
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          if (!this.swallows) to.destroy();
        });
      }
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  /** Bytes pass again; connections that lost bytes are closed, as their network stack would eventually do. */
  heal(): void {
    this.swallows = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.heal();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Two servers; the wires of those in `cut` can be made to drop bytes. An agent and a client of it are at the first. */
async function cluster(cut: readonly number[]) {
  const stateDir = temporaryDirectory();
  const database = new URL(String((await testDatabase(stateDir))["postgres-url"]));
  const servers: TestServer[] = [];
  const wires: Wire[] = [];
  for (const at of [0, 1]) {
    const port = await freePort();
    const url = new URL(database);
    if (cut.includes(at)) {
      const wire = new Wire(database);
      url.host = `127.0.0.1:${await wire.listen()}`;
      cleanups.push(() => wire.close());
      wires.push(wire);
    }
    const server = await startServer({
      stateDir,
      keep: at > 0,
      flags: {
        "http-address": `127.0.0.1:${port}`,
        "derp-server-relay-url": `http://127.0.0.1:${port}`,
        "postgres-url": url.href,
      },
    });
    cleanups.push(async () => server[Symbol.asyncDispose]());
    servers.push(server);
  }
  const [a, b] = servers as [TestServer, TestServer];
  // Before the servers end, because they need their database for that.
  cleanups.push(async () => {
    for (const wire of wires) wire.heal();
  });
  await vi.waitFor(() => expect(a.server.parts.replicas()).toHaveLength(2), eventually);
  const { token } = await firstUser(a.url);
  const workspace = await addWorkspace(a.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const secret = await agentToken(a.url, token, workspace.id);
  const agent = await peer(a, secret, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  const client = await peer(a, token, TAILNET);
  client.send({ updateSelf: { node: nodeOf({ id: 5n, fill: 5, addresses: ["fd7a:115c:a1e0:1::5"] }) } });
  client.tunnelTo(agentId);
  expect(await client.next()).toBe(`node ${agentId}`);
  return { a, b, wires, token, agentId, secret, agent, client };
}

async function peer(server: TestServer, token: string, path: string): Promise<TestPeer> {
  const opened = await TestPeer.open(server.url, token, path);
  cleanups.push(async () => opened[Symbol.asyncDispose]());
  return opened;
}

const isReady = async ({ url }: TestServer): Promise<boolean> => (await fetch(`${url}/readyz`)).ok;

describe("a server that is cut off from its database", () => {
  it("security R14: refuses new tunnels and logins, sends its peers to a sibling that is ready, and serves again when the database is back", async () => {
    const { a, b, wires, token, agentId, secret, agent, client } = await cluster([0]);
    for (const wire of wires) wire.swallows = true;
    await vi.waitFor(async () => expect(await isReady(a)).toBe(false), eventually);
    const ended = await Promise.all([agent, client].map(({ connection }) => connection.closed));
    for (const reason of ended) expect(String(reason)).toContain("coordinator unhealthy");
    expect(a.log.text).toContain("isolated: other servers take this one for lost");
    await expect(peer(a, token, TAILNET)).rejects.toMatchObject({ status: 503 });
    await expect(login(a.url, "ada@example.com")).rejects.toThrow("503");
    // The sibling accepts both.
    const after = await peer(b, secret, AGENT_RPC);
    after.send({ updateSelf: { node: agentNode(agentId, 43n) } });
    const again = await peer(b, token, TAILNET);
    again.tunnelTo(agentId);
    expect(await again.next()).toBe(`node ${agentId}`);
    for (const wire of wires) wire.heal();
    await vi.waitFor(async () => expect(await isReady(a)).toBe(true), eventually);
    // What it knew about its former peers is no longer valid.
    const late = await peer(a, token, TAILNET);
    late.tunnelTo(agentId);
    expect(await late.next()).toBe(`node ${agentId}`);
    after.send({ updateSelf: { node: agentNode(agentId, 44n) } });
    expect(await late.next()).toBe(`node ${agentId}`);
    expect(await again.next()).toBe(`node ${agentId}`);
  });

  it("keeps its peers while no other server is ready", async () => {
    const { a, wires, agentId, agent, client } = await cluster([0, 1]);
    for (const wire of wires) wire.swallows = true;
    // Two rounds of questions, and no sibling that is ready.
    await vi.waitFor(
      () => expect(a.log.text.match(/"siblings":1,"ready":0/g)?.length ?? 0).toBeGreaterThanOrEqual(2),
      eventually,
    );
    expect(await isReady(a)).toBe(false);
    // The sibling stays away: if it were back first, it would be ready and get the peers.
    wires[0]!.heal();
    await vi.waitFor(async () => expect(await isReady(a)).toBe(true), eventually);
    // These are the same streams as before, and nothing was sent over them meanwhile.
    agent.send({ updateSelf: { node: agentNode(agentId, 45n) } });
    expect(await client.next()).toBe(`node ${agentId}`);
    expect(a.log.text).not.toContain("peers are sent there");
  });
});
