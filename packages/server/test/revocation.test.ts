/** Security statements 4 and 16: when a right ends, so do its sockets, and its tunnels on both sides, lost ones included. */
import { Tailnet } from "coder-protocol/gen/tailnet_pb.js";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { resetPassword } from "../src/index.ts";
import {
  addMember,
  addWorkspace,
  agentToken,
  firstUser,
  login,
  openSocket,
  openSocketOrFail,
  send,
  startServer,
} from "./helpers.ts";
import { agentNode, nodeOf, TestPeer } from "./peers.ts";
import { testStorePlace } from "./postgres/test-database.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
const TAILNET = "/api/v2/tailnet";
const CLIENT_KEY = new Uint8Array(32).fill(3);

/** Bob, an owner of the deployment, uses Ada's workspace. */
async function scene() {
  const server = await startServer({
    flags: { "stun-address": "disable", "derp-server-stun-addresses": "disable" },
  });
  const ada = await firstUser(server.url);
  const bob = await addMember(server.url, ada.token, "bob");
  await send(server.url, "PUT", "/api/v2/users/bob/roles", { token: ada.token, body: { roles: ["owner"] } });
  const bobsToken = await login(server.url, "bob@example.com");
  const workspace = await addWorkspace(server.url, ada.token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const agentsToken = await agentToken(server.url, ada.token, workspace.id);
  const agent = await TestPeer.open(server.url, agentsToken, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  const openClient = async (): Promise<TestPeer> => {
    const client = await TestPeer.open(server.url, bobsToken, TAILNET);
    client.send({ updateSelf: { node: nodeOf({ id: 1n, fill: 3, addresses: ["fd7a:115c:a1e0::1"] }) } });
    client.tunnelTo(agentId);
    expect(await client.next()).toBe(`node ${agentId}`);
    expect(await agent.next()).toMatch(/^node /);
    return client;
  };
  const knowsKey = () => server.server.parts.control;
  return {
    ...server,
    ada,
    bob: { ...bob, token: bobsToken },
    workspaceId: workspace.id as string,
    agentId,
    agentsToken,
    agent,
    openClient,
    relayAdmits: () => knowsKey().coordinator.knowsKey(CLIENT_KEY, server.clock.now()),
    [Symbol.asyncDispose]: async () => {
      await agent.connection.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

type Scene = Awaited<ReturnType<typeof scene>>;
type End = (scene: Scene) => Promise<unknown>;

const endsOfBob: [string, End][] = [
  ["suspended", ({ url, ada }) => send(url, "PUT", "/api/v2/users/bob/status/suspend", { token: ada.token })],
  ["deleted", ({ url, ada }) => send(url, "DELETE", "/api/v2/users/bob", { token: ada.token })],
  [
    "made a member",
    ({ url, ada }) => send(url, "PUT", "/api/v2/users/bob/roles", { token: ada.token, body: { roles: ["member"] } }),
  ],
  ["logged out", ({ url, bob }) => send(url, "POST", "/api/v2/users/logout", { token: bob.token })],
  [
    "given a new password",
    ({ url, ada }) =>
      send(url, "PUT", "/api/v2/users/bob/password", {
        token: ada.token,
        body: { old_password: "", password: "another good passphrase" },
      }),
  ],
  [
    "given a new password by a command on the server's machine",
    async ({ stateDir, clock }) => {
      await resetPassword(await testStorePlace(stateDir), "bob", async () => "another good passphrase");
      clock.advance(60_000); // real time advanced, the server's did not
    },
  ],
  ["logged in too long ago", async ({ clock }) => clock.advance(30 * 86_400_000)],
];

test.each(endsOfBob)("security 16: a lost client's tunnel ends when its user is %s", async (_name, end) => {
  await using test = await scene();
  const client = await test.openClient();
  client.connection.abandon();
  expect(await test.agent.next()).toMatch(/^lost /);
  expect(test.relayAdmits()).toBe(true);
  await end(test);
  expect(await test.agent.next()).toMatch(/^disconnected /);
  expect(test.relayAdmits()).toBe(false);
});

test.each(endsOfBob)("security 4: every socket of a user ends when they are %s", async (_name, end) => {
  await using test = await scene();
  const client = await test.openClient();
  const headers = { [SESSION_TOKEN_HEADER]: test.bob.token };
  const sockets = await Promise.all(
    [
      `/workspaces/${test.workspaceId}/watch-ws`,
      `/workspaceagents/${test.agentId}/watch-metadata-ws`,
      `/workspaceagents/${test.agentId}/logs?follow`,
      "/debug/ws",
    ].map((path) => openSocketOrFail(test.url, `/api/v2${path}`, headers)),
  );
  await end(test);
  expect(await test.agent.next()).toMatch(/^disconnected /);
  await client.connection.closed;
  for (const socket of sockets) expect(await socket.closed).toBe(1008);
  expect(test.relayAdmits()).toBe(false);
});

const endsOfAgent: [string, End][] = [
  [
    "its workspace is stopped",
    ({ url, ada, workspaceId }) =>
      send(url, "POST", `/api/v2/workspaces/${workspaceId}/builds`, { token: ada.token, body: { transition: "stop" } }),
  ],
  [
    "its workspace is deleted",
    ({ url, ada, workspaceId }) =>
      send(url, "POST", `/api/v2/workspaces/${workspaceId}/builds`, {
        token: ada.token,
        body: { transition: "delete" },
      }),
  ],
  ["its token is rotated", ({ server, agentId }) => server.parts.workspaces.rotateAgentToken(agentId)],
  [
    "its owner is suspended",
    async ({ url, ada, bob }) => {
      await send(url, "PUT", `/api/v2/users/${ada.id}/status/suspend`, { token: bob.token });
    },
  ],
];

test.each(endsOfAgent)(
  "security 16: the clients of an agent, lost or not, are informed of its end when %s",
  async (_name, end) => {
    for (const isLost of [false, true]) {
      await using test = await scene();
      await using client = await test.openClient();
      if (isLost) {
        test.agent.connection.abandon();
        expect(await client.next()).toBe(`lost ${test.agentId}`);
      }
      await end(test);
      expect(await client.next()).toBe(`disconnected ${test.agentId}`);
      if (!isLost) await test.agent.connection.closed;
      expect(await openSocket(test.url, AGENT_RPC, { [SESSION_TOKEN_HEADER]: test.agentsToken })).toMatchObject({
        status: 401,
      });
    }
  },
);

test("security 16: an agent whose control connection was lost is informed of the end when it returns", async () => {
  await using test = await scene();
  const client = await test.openClient();
  client.connection.abandon();
  expect(await test.agent.next()).toMatch(/^lost /);
  test.agent.connection.abandon();
  await expect.poll(() => test.server.parts.control.agentNetwork(test.agentId)).toBeUndefined();
  await send(test.url, "PUT", "/api/v2/users/bob/status/suspend", { token: test.ada.token });
  await using back = await TestPeer.open(test.url, test.agentsToken, AGENT_RPC);
  expect(await back.next()).toMatch(/^disconnected /);
});

test("resume tokens are bound to login, kind and agent, and invalid after a logout", async () => {
  await using test = await scene();
  const path = `/api/v2/workspaceagents/${test.agentId}/coordinate`;
  const tokenOf = async (peer: TestPeer) =>
    (await peer.connection.rpc.unary(Tailnet.method.refreshResumeToken, {})).token;
  const attempt = async (sessionToken: string, to: string, resume: string) => {
    const answer = await openSocket(test.url, `${to}?version=2.3&resume_token=${resume}`, {
      [SESSION_TOKEN_HEADER]: sessionToken,
    });
    if (!("status" in answer)) answer.reader.socket.terminate();
    return "status" in answer ? answer.status : "opened";
  };
  await using client = await test.openClient();
  await using single = await TestPeer.open(test.url, test.bob.token, path);
  const [agents, bobs, bobsSingle] = [await tokenOf(test.agent), await tokenOf(client), await tokenOf(single)];
  // An agent's token would give a client's rights to the agent's peer id.
  for (const to of [TAILNET, path]) expect(await attempt(test.ada.token, to, agents)).toBe(401);
  expect(await attempt(test.ada.token, TAILNET, bobs)).toBe(401);
  expect(await attempt(test.bob.token, path, bobs)).toBe(401);
  expect(await attempt(test.bob.token, TAILNET, bobsSingle)).toBe(401);
  const otherLogin = await login(test.url, "bob@example.com");
  expect(await attempt(otherLogin, TAILNET, bobs)).toBe(401);
  expect(await attempt(test.bob.token, TAILNET, bobs)).toBe("opened");
  await send(test.url, "POST", "/api/v2/users/logout", { token: test.bob.token });
  expect(await attempt(otherLogin, TAILNET, bobs)).toBe(401);
  for (const token of [agents, bobs, bobsSingle]) expect(test.log.text).not.toContain(token.slice(0, 40));
});
