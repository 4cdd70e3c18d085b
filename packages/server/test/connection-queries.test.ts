/** The number of statements that a control connection causes: with several servers, they are most of its cost. */
import { expect, test, vi } from "vitest";
import { addWorkspace, agentToken, firstUser, startServer } from "./helpers.ts";
import { agentNode, nodeOf, TestPeer } from "./peers.ts";

/** Token and user; the workspace for the route; user and workspace for the tunnel; token, user and workspace again at the end. */
const OF_A_CLIENT = 8;
/** Agent, workspace, owner and build; whether all of that is still valid; the agent's row, read and written. */
const OF_AN_AGENT = 7;

test("an agent's connection takes seven statements, besides what it reports", async () => {
  let queries: string[] = [];
  await using server = await startServer({ deps: { onQuery: (sql) => void queries.push(sql) } });
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const secret = await agentToken(server.url, token, workspace.id);
  queries = [];
  await using agent = await TestPeer.open(server.url, secret, "/api/v2/workspaceagents/me/rpc");
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  const update = await vi.waitFor(() => {
    const at = queries.findIndex((sql) => sql.startsWith('update "agents"'));
    expect(at).toBeGreaterThan(0);
    return at;
  });
  expect(queries.slice(0, update + 1).filter((sql) => /^(select|update)/.test(sql))).toHaveLength(OF_AN_AGENT);
});

test("a client's connection with one tunnel takes eight statements", async () => {
  let queries: string[] = [];
  await using server = await startServer({ deps: { onQuery: (sql) => void queries.push(sql) } });
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const secret = await agentToken(server.url, token, workspace.id);
  await using agent = await TestPeer.open(server.url, secret, "/api/v2/workspaceagents/me/rpc");
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  // The first connection records that the token is in use.
  for (const fill of [1, 2]) {
    queries = [];
    await using client = await TestPeer.open(server.url, token, `/api/v2/workspaceagents/${agentId}/coordinate`);
    client.send({ updateSelf: { node: nodeOf({ id: 1n, fill, addresses: [`fd7a:115c:a1e0::${fill}`] }) } });
    client.tunnelTo(agentId);
    expect(await client.next()).toBe(`node ${agentId}`);
    expect(await agent.next()).toMatch(/^node /);
    await client.connection.close();
    expect(await agent.next()).toMatch(/^lost /);
  }
  expect(queries).toHaveLength(OF_A_CLIENT);
});
