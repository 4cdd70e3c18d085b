import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import { UNIMPLEMENTED_CODE } from "coder-protocol/drpc/async";
import { Agent } from "coder-protocol/gen/agent_pb.js";
import { Tailnet, Workspace_Status, type WorkspaceUpdate } from "coder-protocol/gen/tailnet_pb.js";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { derpMapFromProto } from "coder-protocol/tailnet/derp-map";
import { expect, test } from "vitest";
import { parseDerpMap } from "wg-userspace/derp/map";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { addMember, addWorkspace, agentToken, firstUser, openSocket, PASSWORD, send, startServer } from "./helpers.ts";
import { agentNode, dial, nodeOf, TestPeer } from "./peers.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";
const TAILNET = "/api/v2/tailnet";

async function deployment(flags: ServerFlagValues = {}) {
  const server = await startServer({
    flags: { "stun-address": "127.0.0.1:0", "derp-server-stun-addresses": "disable", ...flags },
  });
  const owner = await firstUser(server.url);
  return { ...server, owner, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function workspaceOf(url: string, token: string, name: string) {
  const workspace = await addWorkspace(url, token, name);
  const agent = workspace.latest_build.resources[0].agents[0];
  return {
    id: workspace.id as string,
    agentId: agent.id as string,
    agentToken: await agentToken(url, token, workspace.id),
  };
}

test("an unsupported version is refused with 400 on every control WebSocket", async () => {
  await using test = await deployment();
  const workspace = await workspaceOf(test.url, test.owner.token, "dev");
  const asked = async (path: string, token: string) => {
    const answer = await openSocket(test.url, path, { [SESSION_TOKEN_HEADER]: token });
    if (!("status" in answer)) answer.reader.socket.terminate();
    return "status" in answer ? [answer.status, JSON.parse(answer.text)] : "opened";
  };
  const coordinate = `/api/v2/workspaceagents/${workspace.agentId}/coordinate`;
  for (const version of ["?version=3.0", "?version=1.99", "?version=x", "?version=1.0", ""]) {
    for (const path of [coordinate, TAILNET]) {
      expect(await asked(`${path}${version}`, test.owner.token)).toEqual([
        400,
        expect.objectContaining({
          message: "Unknown or unsupported API version",
          validations: [expect.objectContaining({ field: "version" })],
        }),
      ]);
    }
  }
  expect(await asked(`${AGENT_RPC}?version=3.0`, workspace.agentToken)).toEqual([400, expect.anything()]);
  expect(await asked(AGENT_RPC, workspace.agentToken)).toBe("opened"); // an agent that names no version speaks 2.0
  expect(await asked(`${coordinate}?version=2.0`, test.owner.token)).toBe("opened");
  // A later minor version is served as the newest one that is supported.
  expect(await asked(`${coordinate}?version=2.999`, test.owner.token)).toBe("opened");
  expect(await asked(`${AGENT_RPC}?version=2.999`, workspace.agentToken)).toBe("opened");
});

test("a wrong resume token gets 401, a right one the same peer id again", async () => {
  await using test = await deployment();
  const workspace = await workspaceOf(test.url, test.owner.token, "dev");
  const path = `/api/v2/workspaceagents/${workspace.agentId}/coordinate`;
  const refused = await openSocket(test.url, `${path}?version=2.3&resume_token=a.b.c`, {
    [SESSION_TOKEN_HEADER]: test.owner.token,
  });
  expect(refused).toMatchObject({ status: 401, text: expect.stringContaining("Invalid resume token") });
  expect(refused).toMatchObject({ text: expect.stringContaining('"resume_token"') });

  await using agent = await TestPeer.open(test.url, workspace.agentToken, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(workspace.agentId) } });
  const seen = async (query: Record<string, string>): Promise<{ id: string; token: string }> => {
    await using client = await TestPeer.open(test.url, test.owner.token, path, query);
    client.send({ updateSelf: { node: nodeOf({ id: 1n, fill: 3, addresses: ["fd7a:115c:a1e0::1"] }) } });
    client.tunnelTo(workspace.agentId);
    expect(await client.next()).toBe(`node ${workspace.agentId}`);
    const heard = await agent.next();
    expect(heard).toMatch(/^node /);
    const { token } = await client.connection.rpc.unary(Tailnet.method.refreshResumeToken, {});
    await client.connection.close();
    expect(await agent.next()).toBe(heard.replace("node", "lost"));
    return { id: heard, token };
  };
  const first = await seen({ version: "2.3" });
  expect((await seen({ version: "2.3", resume_token: first.token })).id).toBe(first.id);
  expect((await seen({ version: "2.3" })).id).not.toBe(first.id);
});

test("a second connection of the same agent replaces the first, and clients stay", async () => {
  await using test = await deployment();
  const workspace = await workspaceOf(test.url, test.owner.token, "dev");
  await using first = await TestPeer.open(test.url, workspace.agentToken, AGENT_RPC);
  first.send({ updateSelf: { node: agentNode(workspace.agentId, 1n) } });
  await using client = await TestPeer.open(test.url, test.owner.token, TAILNET);
  client.tunnelTo(workspace.agentId);
  expect(await client.next()).toBe(`node ${workspace.agentId}`);

  await using second = await TestPeer.open(test.url, workspace.agentToken, AGENT_RPC);
  second.send({ updateSelf: { node: agentNode(workspace.agentId, 2n) } });
  expect(await first.next()).toBe("error: peer ID overwritten by new connection");
  expect(await first.next()).toBe("end");
  expect(await client.next()).toBe(`node ${workspace.agentId}`);

  // The end of the first connection does not affect the agent, because the second is connected.
  await first.connection.close();
  await second.connection.rpc.unary(Agent.method.updateStats, {});
  // The status is stored concurrently with the calls of the connection, so it is polled.
  const status = async () =>
    (await send(test.url, "GET", `/api/v2/workspaceagents/${workspace.agentId}`, { token: test.owner.token })).json
      .status;
  await expect.poll(status, { timeout: 15_000 }).toBe("connected");
});

test("what a client may reach is looked up when it asks for the tunnel, not when it connects", async () => {
  await using test = await deployment();
  const bob = await addMember(test.url, test.owner.token, "bob");
  await using client = await TestPeer.open(test.url, bob.token, TAILNET);
  const later = await workspaceOf(test.url, bob.token, "later");
  await using agent = await TestPeer.open(test.url, later.agentToken, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(later.agentId) } });
  client.tunnelTo(later.agentId);
  expect(await client.next()).toBe(`node ${later.agentId}`);

  await using again = await TestPeer.open(test.url, bob.token, TAILNET);
  const gone = await workspaceOf(test.url, bob.token, "gone");
  await send(test.url, "POST", `/api/v2/workspaces/${gone.id}/builds`, {
    token: bob.token,
    body: { transition: "delete" },
  });
  again.tunnelTo(gone.agentId);
  expect(await again.next()).toBe(`error: authorization: agent ${gone.agentId} is not yours to reach`);
  expect(await again.next()).toBe("end");
});

test("security 11: a client learns nothing of another user's agent, and the agent nothing of the client", async () => {
  await using test = await deployment();
  const bob = await addMember(test.url, test.owner.token, "bob");
  const foreign = await workspaceOf(test.url, test.owner.token, "secret");
  const own = await workspaceOf(test.url, bob.token, "own");
  await using agent = await TestPeer.open(test.url, foreign.agentToken, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(foreign.agentId) } });
  for (const path of [TAILNET, `/api/v2/workspaceagents/${own.agentId}/coordinate`]) {
    await using client = await TestPeer.open(test.url, bob.token, path);
    client.send({ updateSelf: { node: nodeOf({ id: 1n, fill: 3, addresses: ["fd7a:115c:a1e0::1"] }) } });
    client.tunnelTo(foreign.agentId);
    expect(await client.next()).toBe(`error: authorization: agent ${foreign.agentId} is not yours to reach`);
    expect(await client.next()).toBe("end");
  }
  // The agent's first update is about a permitted client: nothing came before it.
  await using allowed = await TestPeer.open(test.url, test.owner.token, TAILNET);
  allowed.tunnelTo(foreign.agentId);
  allowed.send({ updateSelf: { node: nodeOf({ id: 2n, fill: 4, addresses: ["fd7a:115c:a1e0::2"] }) } });
  const { token } = await allowed.connection.rpc.unary(Tailnet.method.refreshResumeToken, {});
  const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString());
  expect(await agent.next()).toBe(`node ${claims.sub}`);
});

test("WorkspaceUpdates sends everything first, then what changed, and nothing of other users", async () => {
  await using test = await deployment();
  const bob = await addMember(test.url, test.owner.token, "bob");
  const dev = await workspaceOf(test.url, bob.token, "dev");
  await workspaceOf(test.url, test.owner.token, "not-bobs");
  const connection = await dial(test.url, bob.token, TAILNET);
  const updates = connection.rpc
    .serverStream(Tailnet.method.workspaceUpdates, { workspaceOwnerId: uuidToBytes(bob.id) })
    .messages[Symbol.asyncIterator]();
  const next = async () => words((await updates.next()).value);
  expect(await next()).toEqual(["workspace dev RUNNING", `agent main of ${dev.id}`]);

  const second = await workspaceOf(test.url, bob.token, "second");
  expect(await next()).toEqual(["workspace second RUNNING", `agent main of ${second.id}`]);
  const build = (transition: string) =>
    send(test.url, "POST", `/api/v2/workspaces/${dev.id}/builds`, { token: bob.token, body: { transition } });
  await build("stop");
  expect(await next()).toEqual(["workspace dev STOPPED", `no agent main of ${dev.id}`]);
  await send(test.url, "PATCH", `/api/v2/workspaces/${dev.id}`, { token: bob.token, body: { name: "renamed" } });
  expect(await next()).toEqual(["workspace renamed STOPPED"]);
  await build("start");
  expect(await next()).toEqual(["workspace renamed RUNNING", `agent main of ${dev.id}`]);
  await build("delete");
  expect(await next()).toEqual(["no workspace renamed", `no agent main of ${dev.id}`]);
  await connection.close();
});

test("WorkspaceUpdates of others, and on a connection for one agent, are refused", async () => {
  await using test = await deployment();
  const bob = await addMember(test.url, test.owner.token, "bob");
  const dev = await workspaceOf(test.url, bob.token, "dev");
  const refusal = async (path: string, ownerId: Uint8Array) => {
    const connection = await dial(test.url, bob.token, path);
    const stream = connection.rpc.serverStream(Tailnet.method.workspaceUpdates, { workspaceOwnerId: ownerId });
    const outcome = await stream.messages[Symbol.asyncIterator]()
      .next()
      .then(
        () => "answered",
        (error: { code: number; message: string }) => {
          expect(error.code).not.toBe(UNIMPLEMENTED_CODE);
          return error.message;
        },
      );
    await connection.close();
    return outcome;
  };
  expect(await refusal(TAILNET, uuidToBytes(test.owner.id))).toContain("those workspaces are not yours");
  expect(await refusal(`/api/v2/workspaceagents/${dev.agentId}/coordinate`, uuidToBytes(bob.id))).toContain(
    "those workspaces are not yours",
  );
  expect(await refusal(TAILNET, new Uint8Array(3))).toContain("a UUID of 16 bytes");
});

test("agents may reach the server by another name: map and manifest are the same, and requests are not redirected", async () => {
  await using test = await startServer({
    flags: {
      "access-url": "https://coder.example.com",
      "allowed-hosts": "127.0.0.1,localhost",
      "redirect-to-access-url": "true",
      "stun-address": "127.0.0.1:0",
    },
  });
  const other = `http://localhost:${test.port}`;
  // People are sent to the access URL, so their requests arrive under its name.
  const host = { Host: "coder.example.com" };
  const people = (path: string, body: unknown, token?: string) =>
    send(test.url, "POST", `/api/v2${path}`, { headers: host, body, token });
  const login = { email: "ada@example.com", password: PASSWORD };
  await people("/users/first", { ...login, username: "ada", name: "Ada", trial: false });
  const token: string = (await people("/users/login", login)).json.session_token;
  const ask = async (path: string) => (await send(test.url, "GET", `/api/v2${path}`, { token, headers: host })).json;
  const created = await people("/users/me/workspaces", { name: "dev" }, token);
  const agentId = created.json.latest_build.resources[0].agents[0].id;
  const credentials = await ask(`/workspaces/${created.json.id}/external-agent/main/credentials`);
  const manifests = await Promise.all(
    [test.url, other].map(async (url) => {
      const connection = await dial(url, credentials.agent_token, AGENT_RPC);
      const manifest = await connection.rpc.unary(Agent.method.getManifest, {});
      await connection.close();
      return manifest;
    }),
  );
  const { derp_map: map } = await ask(`/workspaceagents/${agentId}/connection`);
  for (const manifest of manifests) {
    expect(derpMapFromProto(manifest.derpMap!)).toEqual(parseDerpMap(map));
    expect(uuidFromBytes(manifest.agentId)).toBe(agentId);
  }
  // The relay map names the access URL for all clients; each client replaces it by the URL that it dials.
  expect(map.Regions["999"]).toMatchObject({ EmbeddedRelay: true, Nodes: [{ HostName: "coder.example.com" }] });
  const logs = await send(other, "PATCH", "/api/v2/workspaceagents/me/logs", {
    token: credentials.agent_token,
    body: { logs: [] },
  });
  expect(logs.status).toBe(204);
  expect((await send(other, "GET", "/api/v2/buildinfo")).status).toBe(307);
  expect((await send(other, "GET", "/derp/latency-check")).status).toBe(200);
});

test("a control WebSocket reports latency and path of a client, for the agent's owner without any address", async () => {
  await using test = await deployment();
  const workspace = await workspaceOf(test.url, test.owner.token, "dev");
  const read = async (path: string) =>
    (await send(test.url, "GET", `/api/v2${path}`, { token: test.owner.token })).json;
  const agentPath = `/workspaceagents/${workspace.agentId}`;
  expect((await send(test.url, "GET", `/api/v2${agentPath}/network`, { token: test.owner.token })).status).toBe(409);
  await using agent = await TestPeer.open(test.url, workspace.agentToken, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(workspace.agentId) } });
  await using client = await TestPeer.open(test.url, test.owner.token, TAILNET);
  client.tunnelTo(workspace.agentId);
  await client.next();
  await client.connection.rpc.unary(Tailnet.method.postTelemetry, {
    events: [
      {
        nodeIdRemote: 42n,
        homeDerp: 999,
        p2pLatency: durationFromMs(3),
        p2pEndpoint: { fields: { version: 4, class: 1 } },
      },
    ],
  });
  expect((await read(agentPath)).latency).toEqual({ "Coder Embedded Relay": { preferred: true, latency_ms: 10 } });
  const network = await read(`${agentPath}/network`);
  expect(network).toEqual({
    home: { region_id: 999, region_name: "Coder Embedded Relay", latency_ms: 10 },
    connections: { direct: 1, relayed: 0, unknown: 0 },
    counted_by: "clients",
    clients: [{ path: "direct", endpoint: "private", latency_ms: 3, home_region_name: "Coder Embedded Relay" }],
  });
  const metrics = await test.server.parts.metrics.registry.metrics();
  expect(metrics).toContain('coder_tailnet_connections{path="direct"} 1');
  expect(metrics).toContain("coder_coordinator_tunnels 1");

  const bob = await addMember(test.url, test.owner.token, "bob");
  expect((await send(test.url, "GET", `/api/v2${agentPath}/network`, { token: bob.token })).status).toBe(404);
  await client.connection.close();
  await expect.poll(async () => (await read(`${agentPath}/network`)).clients).toEqual([]);
});

test("debug pages: HTML for people, JSON for programs, owners only", async () => {
  await using test = await deployment();
  const workspace = await workspaceOf(test.url, test.owner.token, "dev");
  await using agent = await TestPeer.open(test.url, workspace.agentToken, AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(workspace.agentId) } });
  await using client = await TestPeer.open(test.url, test.owner.token, TAILNET);
  client.tunnelTo(workspace.agentId);
  await client.next();
  await client.connection.rpc.unary(Tailnet.method.postTelemetry, {
    events: [{ nodeIdRemote: 42n, application: "<script>alert(1)</script>", derpLatency: durationFromMs(30) }],
  });
  const bob = await addMember(test.url, test.owner.token, "bob");
  const read = (page: string, headers: Record<string, string> = {}, token = test.owner.token) =>
    send(test.url, "GET", `/api/v2/debug/${page}`, { token, headers });
  const json = { Accept: "application/json" };
  expect((await read("coordinator", json)).json).toMatchObject({
    agents: [
      { id: workspace.agentId, name: "ada/dev.main", node: { home_region: 999, endpoints: ["203.0.113.9:4321"] } },
    ],
    clients: [{ connected_for_ms: expect.any(Number) }],
    tunnels: [{ to: workspace.agentId, connected: true }],
  });
  expect((await read("tailnet", json)).json).toMatchObject({
    agents: [{ id: workspace.agentId, direct: null }],
    connections: [{ agent: workspace.agentId, path: "relayed", latency_ms: 30 }],
    relay_map: { Regions: { "999": { EmbeddedRelay: true } } },
  });
  for (const page of ["coordinator", "tailnet"]) {
    const html = await read(page);
    expect(html.headers["content-type"]).toContain("text/html");
    expect(html.headers["content-security-policy"]).toContain("default-src 'none'");
    expect(html.text).toContain("ada/dev.main");
    expect(html.text).not.toContain("<script>");
    expect((await read(page, json, bob.token)).status).toBe(403);
    expect((await send(test.url, "GET", `/api/v2/debug/${page}`)).status).toBe(401);
  }
  expect((await read("tailnet")).text).toContain("&#60;script&#62;");
});

const STATUS_NAMES: Readonly<Record<number, string>> = {
  [Workspace_Status.RUNNING]: "RUNNING",
  [Workspace_Status.STOPPED]: "STOPPED",
};

function words(update: WorkspaceUpdate): string[] {
  const agent = (one: { name: string; workspaceId: Uint8Array }) =>
    `agent ${one.name} of ${uuidFromBytes(one.workspaceId)}`;
  return [
    ...update.upsertedWorkspaces.map((one) => `workspace ${one.name} ${STATUS_NAMES[one.status]}`),
    ...update.deletedWorkspaces.map((one) => `no workspace ${one.name}`),
    ...update.upsertedAgents.map(agent),
    ...update.deletedAgents.map((one) => `no ${agent(one)}`),
  ];
}
