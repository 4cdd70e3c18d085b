/** The number of statements that a control connection causes: with several servers, they are most of its cost. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Agent, Lifecycle_State } from "coder-protocol/gen/agent_pb.js";
import { expect, test, vi } from "vitest";
import { parseUserToken } from "../src/auth/tokens.ts";
import { addWorkspace, agentToken, firstUser, send, startServer, type TestServer } from "./helpers.ts";
import { agentNode, nodeOf, TestPeer } from "./peers.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
/** The agent of the token; that it is connected; its manifest; its startup; two lifecycle states; that its workspace is used. */
const OF_AN_AGENT = 7;
/** The logs of an earlier run are removed in a transaction. */
const OF_AN_AGENT_WITH_LOGS = OF_AN_AGENT + 3;

/**
 * What every server reads periodically: expired keys, audit events of other commands, and at most once a second for all connections
 * the deployment's rule about browsers.
 */
const BY_ITSELF = /^select ("id", "user_id", "expires_at" from "api_keys"|.* from "settings")/;

/** A server that reports every statement except the periodic ones. */
function counted(onQuery: (sql: string) => void): Promise<TestServer> {
  return startServer({ deps: { onQuery: (sql) => void (BY_ITSELF.test(sql) || onQuery(sql)) } });
}

test.each([
  { of: "", lines: 0, statements: OF_AN_AGENT },
  { of: " that has logs of an earlier run", lines: 2, statements: OF_AN_AGENT_WITH_LOGS },
])("an agent$of takes $statements statements until it is ready", async ({ lines, statements }) => {
  let queries: string[] = [];
  await using server = await counted((sql) => queries.push(sql));
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const secret = await agentToken(server.url, token, workspace.id);
  const { agentState, store } = server.server.parts;
  const logs = Array.from({ length: lines }, () => ({ createdAt: 1, output: "of before", level: "info" as const }));
  if (lines > 0) await agentState.appendLogs(agentId, undefined, logs);
  queries = [];
  await using agent = await TestPeer.open(server.url, secret, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  const { rpc } = agent.connection;
  await rpc.unary(Agent.method.getManifest, {});
  await rpc.unary(Agent.method.updateStartup, { startup: { version: "v2.0.0" } });
  const changedAt = timestampFromMs(2);
  for (const state of [Lifecycle_State.STARTING, Lifecycle_State.READY])
    await rpc.unary(Agent.method.updateLifecycle, { lifecycle: { state, changedAt } });
  await rpc.unary(Agent.method.updateStats, { stats: { connectionCount: 1n } });
  const asked = queries;
  expect(asked).toHaveLength(statements);
  expect(await store.agents.byId(agentId)).toMatchObject({ lifecycle_state: "ready", disconnected_at: null });
  expect(await store.agentLogs.list(agentId, { after: 0, limit: 10 })).toEqual([]);
});

test("the end of an agent's connection takes one statement, and so do the heartbeats of any number of agents", async () => {
  let queries: string[] = [];
  await using server = await counted((sql) => queries.push(sql));
  const { token } = await firstUser(server.url);
  const workspaces = [await addWorkspace(server.url, token, "dev"), await addWorkspace(server.url, token, "other")];
  const ids = workspaces.map((workspace) => workspace.latest_build.resources[0].agents[0].id as string);
  const { agentState } = server.server.parts;
  for (const id of ids) await agentState.connected(id, "2.6", `of ${id}`);
  queries = [];
  expect(await Promise.all(ids.map((id) => agentState.heartbeat(id, `of ${id}`)))).toEqual([true, true]);
  expect(queries).toHaveLength(1);
  queries = [];
  await agentState.disconnected(ids[0]!, `of ${ids[0]}`);
  expect(queries).toHaveLength(1);
});

/** The statements of a client's connection, by what they look up. */
function lookedUp(queries: readonly string[]): Record<string, number> {
  const count = (pattern: RegExp): number => queries.filter((sql) => pattern.test(sql)).length;
  const [keys, users, workspaces] = [/ "api_keys"/, /from "users"/, /from "workspaces"/].map(count) as [
    number,
    number,
    number,
  ];
  return { keys, users, workspaces, others: queries.length - keys - users - workspaces };
}

test("a client's connection with one tunnel takes at most six statements", async () => {
  let queries: string[] = [];
  await using server = await counted((sql) => queries.push(sql));
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const secret = await agentToken(server.url, token, workspace.id);
  await using agent = await TestPeer.open(server.url, secret, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  // The first connection records that the token is in use.
  for (const fill of [1, 2]) {
    queries = [];
    await using client = await TestPeer.open(server.url, token, `/api/v2/workspaceagents/${agentId}/coordinate`);
    client.send({ updateSelf: { node: nodeOf({ id: 1n, fill, addresses: [`fd7a:115c:a1e0::${fill}`] }) } });
    client.tunnelTo(agentId);
    expect(await client.next()).toBe(`node ${agentId}`);
    expect(await agent.next()).toMatch(/^node /);
    // Its rights are looked up again concurrently.
    await vi.waitFor(() => expect(lookedUp(queries)["keys"]).toBeGreaterThan(1));
    await client.connection.close();
    expect(await agent.next()).toMatch(/^lost /);
  }
  // For the route, the tunnel, and again after the handshake; the last two may share a statement.
  const found = lookedUp(queries);
  expect(found).toEqual({ keys: 2, users: 1, workspaces: found["workspaces"] === 2 ? 2 : 3, others: 0 });
});

test("requests of one key that come together record its use once", async () => {
  let queries: string[] = [];
  await using server = await counted((sql) => queries.push(sql));
  const { token } = await firstUser(server.url);
  const keyId = parseUserToken(token)!.id;
  const { apiKeys } = server.server.parts.store;
  const before = (await apiKeys.byId(keyId))!;
  await apiKeys.recordUse(keyId, { lastUsed: 1, expiresAt: before.expires_at });
  queries = [];
  const answers = await Promise.all([1, 2, 3, 4, 5].map(() => send(server.url, "GET", "/api/v2/users/me", { token })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  expect(queries.filter((sql) => sql.startsWith('update "api_keys"'))).toHaveLength(1);
  expect((await apiKeys.byId(keyId))!.last_used).toBeGreaterThanOrEqual(before.last_used);
});
