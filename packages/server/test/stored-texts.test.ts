import { Agent } from "coder-protocol/gen/agent_pb.js";
import { expect, test } from "vitest";
import { addWorkspace, agentToken, firstUser, startServer } from "./helpers.ts";
import { TestPeer } from "./peers.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";

/** NUL is in no text of PostgreSQL, and half a surrogate pair in no UTF-8. */
const SENT = "a\0b\ud800c";
const KEPT = "a\u2400b\ufffdc";

test("texts of an agent with NUL or half a surrogate pair are stored, the same in both databases", async () => {
  await using server = await startServer();
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id as string;
  const { agentState, store } = server.server.parts;
  await agentState.startup(agentId, { version: SENT, expandedDirectory: SENT, subsystems: [] });
  expect(await store.agents.byId(agentId)).toMatchObject({ version: KEPT, expanded_directory: KEPT });
  await agentState.appendLogs(agentId, undefined, [{ createdAt: 1, output: SENT, level: "info" }]);
  expect(await store.agentLogs.list(agentId, { after: 0, limit: 10 })).toMatchObject([{ output: KEPT }]);
  await agentState.updateMetadata(agentId, [{ key: SENT, value: SENT, error: SENT, collected_at: 1 }]);
  await agentState.reportConnection({
    connection_id: SENT,
    agent_id: agentId,
    action: "connect",
    type: "ssh",
    ip: SENT,
    status_code: 0,
    reason: SENT,
    reported_at: 1,
  });

  // As an agent sends it.
  const secret = await agentToken(server.url, token, workspace.id);
  await using agent = await TestPeer.open(server.url, secret, AGENT_RPC);
  const startup = { version: "v\0", expandedDirectory: "/home/\0" };
  await agent.connection.rpc.unary(Agent.method.updateStartup, { startup });
  expect(await store.agents.byId(agentId)).toMatchObject({ version: "v\u2400", expanded_directory: "/home/\u2400" });
});
