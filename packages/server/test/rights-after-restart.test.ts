/**
 * Security statement 16: a tunnel that outlived its control connections ends with its right, even if the server was restarted.
 */
import { create } from "@bufbuild/protobuf";
import { uuidToBytes } from "coder-protocol/addresses";
import { CoordinateRequest_LostPeerSchema } from "coder-protocol/gen/tailnet_pb.js";
import { expect, test } from "vitest";
import {
  addMember,
  addWorkspace,
  agentToken,
  firstUser,
  login,
  send,
  startServer,
  temporaryDirectory,
} from "./helpers.ts";
import { nodeOf, TestPeer } from "./peers.ts";
import { TestAgent } from "./test-agent.ts";

const TAILNET = "/api/v2/tailnet";

/** Bob and Carol, owners of the deployment, have tunnels to Ada's workspace when the server ends. */
async function scene(stateDir: string) {
  const server = await startServer({ stateDir, keep: true });
  await using _ = server;
  const ada = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, ada.token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const agent = new TestAgent(agentId, await agentToken(server.url, ada.token, workspace.id));
  await agent.connect(server.url);
  const tokens: string[] = [];
  for (const [index, name] of ["bob", "carol"].entries()) {
    await addMember(server.url, ada.token, name);
    await send(server.url, "PUT", `/api/v2/users/${name}/roles`, { token: ada.token, body: { roles: ["owner"] } });
    const token = await login(server.url, `${name}@example.com`);
    tokens.push(token);
    const client = await TestPeer.open(server.url, token, TAILNET);
    const address = `fd7a:115c:a1e0::${index + 1}`;
    client.send({ updateSelf: { node: nodeOf({ id: BigInt(index + 1), fill: index + 3, addresses: [address] }) } });
    client.tunnelTo(agentId);
    await agent.hasClients(index + 1);
  }
  await agent.cut();
  return { ada, agent, agentId, workspaceId: workspace.id as string, bobsToken: tokens[0]! };
}

interface Scene extends Awaited<ReturnType<typeof scene>> {
  readonly url: string;
}

const ends: [string, (scene: Scene) => Promise<unknown>][] = [
  ["is suspended", ({ url, ada }) => send(url, "PUT", "/api/v2/users/bob/status/suspend", { token: ada.token })],
  ["is deleted", ({ url, ada }) => send(url, "DELETE", "/api/v2/users/bob", { token: ada.token })],
  [
    "is made a member",
    ({ url, ada }) => send(url, "PUT", "/api/v2/users/bob/roles", { token: ada.token, body: { roles: ["member"] } }),
  ],
  ["logs out", ({ url, bobsToken }) => send(url, "POST", "/api/v2/users/logout", { token: bobsToken })],
];

test.each(ends)(
  "security 16: a lost client's tunnel ends when its user %s after a restart, before or after the agent returns",
  async (_name, end) => {
    for (const isBack of [true, false]) {
      const stateDir = temporaryDirectory();
      const before = await scene(stateDir);
      await using server = await startServer({ stateDir });
      const { agent } = before;
      if (isBack) {
        await agent.connect(server.url);
        await expect.poll(() => server.server.parts.control.coordinator.remembered.lostPeers).toBe(2);
        await agent.hasClients(2, 2);
      }
      expect(await end({ ...before, url: server.url })).toMatchObject({
        status: expect.toSatisfy((code) => code < 300),
      });
      if (!isBack) await agent.connect(server.url);
      // Carol's right is still valid.
      await agent.hasClients(1, 1);
      await agent.cut();
    }
  },
);

test("security 16: a peer with an invented right is ended, and others are left alone", async () => {
  const stateDir = temporaryDirectory();
  const { agent, agentId } = await scene(stateDir);
  await using server = await startServer({ stateDir });
  await agent.connect(server.url);
  const { coordinator } = server.server.parts.control;
  await expect.poll(() => coordinator.remembered.lostPeers).toBe(2);
  const [bob, carol] = agent.clients as [string, string];
  const { lostPeers } = server.server.parts.control;
  // This needs no lookup: a peer that is already watched is not judged by a repeated statement.
  const { signal } = new AbortController();
  lostPeers.statements(agentId, signal)([statement(bob, new Uint8Array(40))]);
  expect(coordinator.informsOfEnd(bob, agentId)).toBe(true);
  const other = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11";
  lostPeers.statements(other, signal)([statement(carol, new Uint8Array(40))]);
  expect([coordinator.informsOfEnd(carol, agentId), coordinator.informsOfEnd(carol, other)]).toEqual([true, false]);
  await agent.hasClients(2, 2);
  await agent.cut();
});

function statement(id: string, right: Uint8Array) {
  return create(CoordinateRequest_LostPeerSchema, { id: uuidToBytes(id), right });
}
