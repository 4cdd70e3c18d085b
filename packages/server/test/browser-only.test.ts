/** Browser-only mode as clients that speak the wire protocol see it. */
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import type { ServerFlagValues } from "../src/config/flags.ts";
import {
  addMember,
  addWorkspace,
  agentToken,
  firstUser,
  openSocket,
  openSocketOrFail,
  send,
  startServer,
} from "./helpers.ts";
import { agentNode, nodeOf, TestPeer } from "./peers.ts";

const SENTENCE = "Non-browser connections are disabled for your deployment.";
const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
const TAILNET = "/api/v2/tailnet";
const CLIENT_NODE = { updateSelf: { node: nodeOf({ id: 1n, fill: 3, addresses: ["fd7a:115c:a1e0::5"] }) } };

async function deployment(flags: ServerFlagValues = {}) {
  const server = await startServer({ flags });
  const owner = await firstUser(server.url);
  const bob = await addMember(server.url, owner.token, "bob");
  const workspace = async (name: string) => {
    const created = await addWorkspace(server.url, bob.token, name);
    const agentId: string = created.latest_build.resources[0].agents[0].id;
    return {
      id: created.id as string,
      agentId,
      token: await agentToken(server.url, bob.token, created.id),
      coordinate: `/api/v2/workspaceagents/${agentId}/coordinate`,
    };
  };
  const put = (token: string, path: string, policy: unknown) =>
    send(server.url, "PUT", `/api/v2${path}/connection-policy`, { token, body: { policy } });
  return { ...server, owner, bob, workspace, put, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

type Deployment = Awaited<ReturnType<typeof deployment>>;
type Workspace = Awaited<ReturnType<Deployment["workspace"]>>;

async function dialStatus(at: Deployment, { coordinate }: Workspace, token: string) {
  const answer = await openSocket(at.url, `${coordinate}?version=2.0`, { [SESSION_TOKEN_HEADER]: token });
  if ("status" in answer) return [answer.status, JSON.parse(answer.text)];
  answer.reader.socket.terminate();
  return "opened";
}

test("under --browser-only a client gets 409 with stock's sentence, and where the web terminal is", async () => {
  await using at = await deployment({ "browser-only": "true" });
  const dev = await at.workspace("dev");
  const refusal = [409, { message: SENTENCE, detail: `Use the web terminal at ${at.url}/@bob/dev/terminal` }];
  expect(await dialStatus(at, dev, at.bob.token)).toEqual(refusal);
  expect(await dialStatus(at, dev, at.owner.token)).toEqual(refusal);
  const anonymous = await openSocket(at.url, `${dev.coordinate}?version=2.0`, {});
  expect(anonymous).toMatchObject({ status: 401 });

  const get = async (path: string) => (await send(at.url, "GET", `/api/v2${path}`, { token: at.bob.token })).json;
  expect(await get(`/workspaceagents/${dev.agentId}/connection`)).toMatchObject({ browser_only: true });
  expect(await get("/workspaceagents/connection")).toMatchObject({ browser_only: true, derp_map: expect.anything() });
  expect((await get("/entitlements")).features.browser_only).toEqual({ entitlement: "entitled", enabled: true });
  expect((await get(`/workspaceagents/${dev.agentId}`)).display_apps).toEqual(["web_terminal"]);
  const shown = await get("/users/me/workspace/dev");
  expect(shown).toMatchObject({ connection_policy: "inherit", browser_only_by: "deployment" });
  expect(shown.latest_build.resources[0].agents[0].display_apps).toEqual(["web_terminal"]);
  for (const path of ["logs", "listening-ports"])
    expect(await get(`/workspaceagents/${dev.agentId}/${path}`)).toBeDefined();
});

test("without it, answers do not mention it", async () => {
  await using at = await deployment();
  const dev = await at.workspace("dev");
  expect(await dialStatus(at, dev, at.bob.token)).toBe("opened");
  const get = async (path: string) => (await send(at.url, "GET", `/api/v2${path}`, { token: at.bob.token })).json;
  expect(await get(`/workspaceagents/${dev.agentId}/connection`)).not.toHaveProperty("browser_only");
  expect((await get("/entitlements")).features.browser_only).toEqual({ entitlement: "entitled", enabled: false });
  expect(await get("/users/me/workspace/dev")).not.toHaveProperty("browser_only_by");
  expect((await get("/users/me")).connection_policy).toBe("inherit");
});

test("owners of the deployment set one of three policies, which is recorded", async () => {
  await using at = await deployment({ "browser-only": "default" });
  const dev = await at.workspace("dev");
  for (const path of ["/users/bob", `/workspaces/${dev.id}`]) {
    expect((await at.put(at.bob.token, path, "any")).status).toBe(403);
    for (const wrong of ["browser-only", "", 7, null])
      expect((await at.put(at.owner.token, path, wrong)).status).toBe(400);
  }
  expect((await at.put(at.owner.token, "/users/unknown", "any")).status).toBe(404);

  expect(await dialStatus(at, dev, at.bob.token)).toMatchObject([409, { message: SENTENCE }]);
  const lifted = await at.put(at.owner.token, `/workspaces/${dev.id}`, "any");
  expect(lifted.json).toMatchObject({ connection_policy: "any" });
  expect(lifted.json).not.toHaveProperty("browser_only_by");
  expect(await dialStatus(at, dev, at.bob.token)).toBe("opened");
  expect((await at.put(at.owner.token, "/users/bob", "browser_only")).json).toMatchObject({
    connection_policy: "browser_only",
  });
  expect(await dialStatus(at, dev, at.bob.token)).toMatchObject([409, { message: SENTENCE }]);
  expect(await dialStatus(at, dev, at.owner.token)).toBe("opened");
  expect(at.log.text.match(/"audit":"connection-policy-changed"/g)).toHaveLength(2);
});

test("a workspace cannot lift an enforced restriction", async () => {
  await using at = await deployment({ "browser-only": "enforced" });
  const dev = await at.workspace("dev");
  expect((await at.put(at.owner.token, `/workspaces/${dev.id}`, "any")).status).toBe(200);
  expect(await dialStatus(at, dev, at.bob.token)).toMatchObject([409, { message: SENTENCE }]);
});

test("on /tailnet the tunnel is refused, not the connection, and the agent's node is not sent", async () => {
  await using at = await deployment();
  const [dev, open] = [await at.workspace("dev"), await at.workspace("open")];
  await using agent = await TestPeer.open(at.url, dev.token, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(dev.agentId) } });
  await using other = await TestPeer.open(at.url, open.token, AGENT_RPC);
  other.send({ updateSelf: { node: agentNode(open.agentId, 43n) } });
  await at.put(at.owner.token, `/workspaces/${dev.id}`, "browser_only");

  await using client = await TestPeer.open(at.url, at.bob.token, TAILNET);
  client.send(CLIENT_NODE);
  client.tunnelTo(dev.agentId);
  expect(await client.next()).toBe(`error: ${SENTENCE}`);
  client.tunnelTo(open.agentId);
  expect(await client.next()).toBe(`node ${open.agentId}`);
});

test("switching it on ends tunnels on both sides, and leaves those to other workspaces", async () => {
  await using at = await deployment();
  const [dev, open] = [await at.workspace("dev"), await at.workspace("open")];
  await using agent = await TestPeer.open(at.url, dev.token, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(dev.agentId) } });
  await using other = await TestPeer.open(at.url, open.token, AGENT_RPC);
  other.send({ updateSelf: { node: agentNode(open.agentId, 43n) } });

  await using single = await TestPeer.open(at.url, at.bob.token, dev.coordinate);
  single.send(CLIENT_NODE);
  single.tunnelTo(dev.agentId);
  expect(await single.next()).toBe(`node ${dev.agentId}`);
  const singleId = (await agent.next()).replace("node ", "");
  await using many = await TestPeer.open(at.url, at.bob.token, TAILNET);
  many.send({ updateSelf: { node: nodeOf({ id: 2n, fill: 4, addresses: ["fd7a:115c:a1e0::6"] }) } });
  many.tunnelTo(dev.agentId);
  expect(await many.next()).toBe(`node ${dev.agentId}`);
  const manyId = (await agent.next()).replace("node ", "");
  many.tunnelTo(open.agentId);
  expect(await many.next()).toBe(`node ${open.agentId}`);
  expect(await other.next()).toBe(`node ${manyId}`);

  await at.put(at.owner.token, `/workspaces/${dev.id}`, "browser_only");
  expect(await single.next()).toBe(`disconnected ${dev.agentId}`);
  expect(await single.next()).toBe(`error: ${SENTENCE}`);
  expect((await single.connection.closed)?.message).toContain("Non-browser");
  expect(await many.next()).toBe(`disconnected ${dev.agentId}`);
  expect(await many.next()).toBe(`error: ${SENTENCE}`);
  expect([await agent.next(), await agent.next()].sort()).toEqual(
    [`disconnected ${singleId}`, `disconnected ${manyId}`].sort(),
  );
  // The same connection still carries the tunnel to the other workspace, and may request more.
  other.send({ updateSelf: { node: agentNode(open.agentId, 44n) } });
  expect(await many.next()).toBe(`node ${open.agentId}`);

  await at.put(at.owner.token, "/users/bob", "browser_only");
  expect(await many.next()).toBe(`disconnected ${open.agentId}`);
  expect(await other.next()).toBe(`disconnected ${manyId}`);
});

test("a client whose control connection is gone loses its tunnel as well", async () => {
  await using at = await deployment();
  const dev = await at.workspace("dev");
  await using agent = await TestPeer.open(at.url, dev.token, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(dev.agentId) } });
  const client = await TestPeer.open(at.url, at.bob.token, dev.coordinate);
  client.send(CLIENT_NODE);
  client.tunnelTo(dev.agentId);
  expect(await client.next()).toBe(`node ${dev.agentId}`);
  const id = (await agent.next()).replace("node ", "");
  await client.connection.close();
  expect(await agent.next()).toBe(`lost ${id}`);
  await at.put(at.owner.token, `/workspaces/${dev.id}`, "browser_only");
  expect(await agent.next()).toBe(`disconnected ${id}`);
});

test("a web terminal's socket opens under the restriction, and an open one stays when it is switched on", async () => {
  await using at = await deployment();
  const dev = await at.workspace("dev");
  await using agent = await TestPeer.open(at.url, dev.token, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(dev.agentId) } });
  const open = async () => {
    const path = `/api/v2/workspaceagents/${dev.agentId}/pty?reconnect=${crypto.randomUUID()}`;
    const answer = await openSocket(at.url, path, { [SESSION_TOKEN_HEADER]: at.bob.token });
    if ("status" in answer) throw new Error(`${answer.status} ${answer.text}`);
    return answer.reader.socket;
  };
  const before = await open();
  // The server opens its own tunnel for it: the agent is informed of a peer.
  const peer = await agent.next();
  expect(peer).toMatch(/^node /);
  await at.put(at.owner.token, "/users/bob", "browser_only");
  expect(await dialStatus(at, dev, at.bob.token)).toMatchObject([409, { message: SENTENCE }]);
  expect(before.readyState).toBe(WebSocket.OPEN);
  const after = await open();
  expect(after.readyState).toBe(WebSocket.OPEN);
  before.terminate();
  after.terminate();
});

test("a user has at most eight web pages that are peers, counted separately from other clients", async () => {
  await using at = await deployment();
  const dev = await at.workspace("dev");
  await using agent = await TestPeer.open(at.url, dev.token, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(dev.agentId) } });
  const query = { version: "2.0", client: "browser" };
  const pages = await Promise.all(
    Array.from({ length: 8 }, () => TestPeer.open(at.url, at.bob.token, dev.coordinate, query)),
  );
  await expect(TestPeer.open(at.url, at.bob.token, dev.coordinate, query)).rejects.toMatchObject({ status: 429 });
  await using other = await TestPeer.open(at.url, at.bob.token, dev.coordinate);
  other.send(CLIENT_NODE);
  other.tunnelTo(dev.agentId);
  expect(await other.next()).toBe(`node ${dev.agentId}`);
  pages[0]!.send({ updateSelf: { node: nodeOf({ id: 2n, fill: 4, addresses: ["fd7a:115c:a1e0::6"] }) } });
  pages[0]!.tunnelTo(dev.agentId);
  expect(await pages[0]!.next()).toBe(`node ${dev.agentId}`);
  const network = await send(at.url, "GET", `/api/v2/workspaceagents/${dev.agentId}/network`, { token: at.bob.token });
  const clients = network.json.clients as { path: string; browser?: boolean }[];
  expect(clients.filter(({ browser }) => browser === true)).toEqual([{ path: "relayed", browser: true }]);
  expect(clients).toHaveLength(2);
  await pages[0]!.connection.close();
  await using next = await openLater(() => TestPeer.open(at.url, at.bob.token, dev.coordinate, query));
  expect(next).toBeDefined();
  for (const page of pages.slice(1)) await page.connection.close();
});

/** Retries, because the server notices an end only a moment later. */
async function openLater<T>(open: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if ((error as { status?: number }).status !== 429) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

test("a workspace that requires end-to-end encryption refuses terminals that the server could read", async () => {
  await using at = await deployment();
  const dev = await at.workspace("dev");
  const set = (token: string, wanted: unknown) =>
    send(at.url, "PUT", `/api/v2/workspaces/${dev.id}/connection-policy`, { token, body: { require_e2e: wanted } });
  expect((await set(at.bob.token, true)).status).toBe(403);
  expect((await set(at.owner.token, "yes")).status).toBe(400);
  expect((await set(at.owner.token, true)).json).toMatchObject({ require_e2e: true, connection_policy: "inherit" });
  const path = `/api/v2/workspaceagents/${dev.agentId}/pty?reconnect=${crypto.randomUUID()}`;
  const refused = await openSocket(at.url, path, { [SESSION_TOKEN_HEADER]: at.bob.token });
  expect(refused).toMatchObject({ status: 409, text: expect.stringContaining("only end-to-end encrypted terminals") });
  expect(await dialStatus(at, dev, at.bob.token)).toBe("opened");
  expect((await set(at.owner.token, false)).json).toMatchObject({ require_e2e: false });
});

test("the rule of the deployment is read and set by its owners, adds to what the server was started with, and is recorded", async () => {
  await using at = await deployment({ "browser-only": "default" });
  const dev = await at.workspace("dev");
  const PATH = "/api/v2/deployment/connection-policy";
  const get = async (token: string, path: string) => await send(at.url, "GET", path, { token });
  expect((await get(at.bob.token, PATH)).status).toBe(403);
  expect((await at.put(at.bob.token, "/deployment", "off")).status).toBe(403);
  const set = async (rule: unknown) =>
    await send(at.url, "PUT", PATH, { token: at.owner.token, body: { browser_only: rule } });
  for (const wrong of ["browser_only", "true", "", null]) expect((await set(wrong)).status).toBe(400);
  const started = { browser_only: "default", set: "off", started_with: "default" };
  expect((await get(at.owner.token, PATH)).json).toEqual(started);

  await at.put(at.owner.token, `/workspaces/${dev.id}`, "any");
  expect(await dialStatus(at, dev, at.bob.token)).toBe("opened");
  const enforced = { browser_only: "enforced", set: "enforced", started_with: "default" };
  expect((await set("enforced")).json).toEqual(enforced);
  expect((await get(at.owner.token, PATH)).json).toEqual(enforced);
  expect(await dialStatus(at, dev, at.bob.token)).toMatchObject([409, { message: SENTENCE }]);
  const shown = await get(at.bob.token, "/api/v2/users/me/workspace/dev");
  expect(shown.json).toMatchObject({ browser_only_by: "deployment", connection_policy: "any" });
  // Owners lift what they set, and nothing else.
  expect((await set("off")).json).toEqual(started);
  expect(await dialStatus(at, dev, at.bob.token)).toBe("opened");
  expect(at.log.text.match(/"audit":"connection-policy-changed"/g)).toHaveLength(3);
});

test("setting the rule of the deployment ends tunnels to all workspaces that are not exempt, and is seen by watchers", async () => {
  await using at = await deployment();
  const [dev, exempt] = [await at.workspace("dev"), await at.workspace("exempt")];
  await at.put(at.owner.token, `/workspaces/${exempt.id}`, "any");
  await using agent = await TestPeer.open(at.url, dev.token, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(dev.agentId) } });
  await using other = await TestPeer.open(at.url, exempt.token, AGENT_RPC);
  other.send({ updateSelf: { node: agentNode(exempt.agentId, 43n) } });
  await using client = await TestPeer.open(at.url, at.bob.token, TAILNET);
  client.send(CLIENT_NODE);
  client.tunnelTo(dev.agentId);
  expect(await client.next()).toBe(`node ${dev.agentId}`);
  client.tunnelTo(exempt.agentId);
  expect(await client.next()).toBe(`node ${exempt.agentId}`);
  const id = (await agent.next()).replace("node ", "");
  expect(await other.next()).toBe(`node ${id}`);
  const path = `/api/v2/workspaces/${dev.id}/watch-ws`;
  const watch = await openSocketOrFail(at.url, path, { [SESSION_TOKEN_HEADER]: at.bob.token });
  const by = async (): Promise<unknown> => JSON.parse(String(await watch.next())).data?.browser_only_by;

  const set = async (rule: string) =>
    await send(at.url, "PUT", "/api/v2/deployment/connection-policy", {
      token: at.owner.token,
      body: { browser_only: rule },
    });
  await set("default");
  expect(await client.next()).toBe(`disconnected ${dev.agentId}`);
  expect(await client.next()).toBe(`error: ${SENTENCE}`);
  expect(await agent.next()).toBe(`disconnected ${id}`);
  while ((await by()) !== "deployment");
  watch.socket.terminate();
  // The tunnel to the exempt workspace is as it was.
  other.send({ updateSelf: { node: agentNode(exempt.agentId, 44n) } });
  expect(await client.next()).toBe(`node ${exempt.agentId}`);
  await set("enforced");
  expect(await client.next()).toBe(`disconnected ${exempt.agentId}`);
  expect(await client.next()).toBe(`error: ${SENTENCE}`);
  expect(await other.next()).toBe(`disconnected ${id}`);
});
