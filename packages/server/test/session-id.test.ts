/** One session id from the client through server and coordinator to the agent, so that one search finds all log lines. */

import { dialRpc } from "coder-client/control/rpc-connection";
import { Deployment } from "coder-client/rest/deployment";
import { uuidToBytes } from "coder-protocol/addresses";
import { Tailnet } from "coder-protocol/gen/tailnet_pb.js";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { sessionIdOfReason } from "coder-protocol/session-id";
import { expect, test } from "vitest";
import { addWorkspace, agentToken, firstUser, openSocket, startServer } from "./helpers.ts";
import { dial, nodeOf } from "./peers.ts";

const ID = "0123456789abcdef0123456789abcdef";

async function deployment() {
  const test = await startServer({
    flags: { "stun-address": "disable", "derp-server-stun-addresses": "disable" },
  });
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const agent = await dial(test.url, await agentToken(test.url, token, workspace.id), "/api/v2/workspaceagents/me/rpc");
  const lines = () =>
    test.log.text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  return {
    ...test,
    token,
    agentId,
    agent,
    lines,
    client: (sessionId: string) => new Deployment({ url: new URL(test.url), token, sessionId }),
    [Symbol.asyncDispose]: async () => {
      await agent.close();
      await test[Symbol.asyncDispose]();
    },
  };
}

test("REST, the coordinate handshake and its end are logged with the id, and the agent receives it", async () => {
  await using at = await deployment();
  const client = at.client(ID);
  await client.call("/api/v2/users/me");
  const rpc = await dialRpc(client, `/api/v2/workspaceagents/${at.agentId}/coordinate`, {
    query: { version: "2.0" },
    signal: AbortSignal.timeout(10_000),
  });
  const updates = at.agent.rpc.bidi(Tailnet.method.coordinate);
  const own = rpc.rpc.bidi(Tailnet.method.coordinate);
  own.send({ addTunnel: { id: uuidToBytes(at.agentId) } });
  own.send({ updateSelf: { node: nodeOf({ id: 5n, fill: 9, addresses: ["fd7a:115c:a1e0:1::5"] }) } });
  for await (const { peerUpdates } of updates.messages) {
    if (peerUpdates.length === 0) continue;
    expect(peerUpdates.map(({ reason }) => sessionIdOfReason(reason))).toEqual([ID]);
    break;
  }
  updates.cancel();
  await rpc.close();
  while (!at.log.text.includes("client disconnected")) await new Promise((resolve) => setTimeout(resolve, 10));
  const found = at.lines().filter((line) => line.client_session_id === ID);
  expect(found.map((line) => line.path ?? line.msg)).toEqual([
    "/api/v2/users/me",
    `/api/v2/workspaceagents/${at.agentId}/coordinate`,
    "client disconnected",
  ]);
  expect(found[2]).toMatchObject({
    connect_type: "coordinate",
    disconnect_reason: "normal exit",
    disconnect_expected: true,
    disconnect_initiator: "client",
  });
});

test("an invalid id is logged nowhere", async () => {
  await using at = await deployment();
  for (const odd of ["my-editor", "x\r\nSet-Cookie: a=b", ID.toUpperCase()])
    await at.client(odd).call("/api/v2/users/me");
  expect(at.log.text).not.toMatch(/my-editor|Set-Cookie|client_session_id/);
});

test("a page names its session in the query of its terminal", async () => {
  await using at = await deployment();
  const path = `/api/v2/workspaceagents/${at.agentId}/pty?client_session_id=${ID}`;
  await openSocket(at.url, path, { [SESSION_TOKEN_HEADER]: at.token });
  expect(at.lines().find((line) => line.client_session_id === ID)).toMatchObject({ route: "terminal" });
});
