import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { addWorkspace, agentToken, firstUser, openSocket, openSocketOrFail, send, startServer } from "./helpers.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc?version=2.0";

test("two agents with one token: the contest ends, the log, the answer and the workspace name it, and once the winner is gone the loser may connect", async () => {
  await using server = await startServer({
    flags: { "stun-address": "disable", "derp-server-stun-addresses": "disable" },
  });
  const ada = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, ada.token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const headers = { [SESSION_TOKEN_HEADER]: await agentToken(server.url, ada.token, workspace.id) };
  const view = async () =>
    (await send(server.url, "GET", `/api/v2/workspaceagents/${agentId}`, { token: ada.token })).json;

  const winner = await openSocketOrFail(server.url, AGENT_RPC, headers);
  for (let n = 0; n < 3; n++) {
    const other = await openSocketOrFail(server.url, AGENT_RPC, headers);
    other.socket.terminate();
    await other.closed;
  }
  await expect
    .poll(async () => (await openSocket(server.url, AGENT_RPC, headers)) as { status?: number })
    .toMatchObject({
      status: 409,
      text: expect.stringMatching(/Another agent with the same token is connected\..*It is at 127\.0\.0\.1/),
    });
  expect((await view()).health).toEqual({
    healthy: false,
    reason: "several agents use the token of this one (from 127.0.0.1): stop all but one",
  });
  expect(server.log.text).toContain("several agents use one token");
  expect((await view()).status).toBe("connected");

  winner.socket.terminate();
  await expect.poll(async () => "reader" in (await openSocket(server.url, AGENT_RPC, headers))).toBe(true);
  server.clock.advance(61_000);
  expect((await view()).health.reason ?? "").not.toMatch(/several agents/);
});
