/** Shared ports: who gets access, for how long, and what ends with the right. */
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import type { PortShareRow } from "../../src/db/schema.ts";
import { send } from "../helpers.ts";
import { type AppServer, signIn, startApps } from "./helpers.ts";

const share = (apps: AppServer, body: object, token = apps.ada.token) =>
  send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/port-share`, {
    token,
    body: { agent_name: "main", port: 8080, share_level: "public", ...body },
  });

const declare = (apps: AppServer, slug: string, level: string) =>
  send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/apps`, {
    token: apps.ada.token,
    body: { slug, url: "http://localhost:8080", sharing_level: level },
  });

/** A share that was created under an administrator's earlier limits. */
const storedShare = (apps: AppServer, fields: Partial<PortShareRow>): PortShareRow => ({
  workspace_id: apps.workspaceId,
  agent_name: "main",
  port: 8080,
  protocol: "http",
  level: "authenticated",
  label: "",
  expires_at: null,
  host_header: "preserve",
  cors: "simple",
  cors_origins: "",
  also: "",
  identity_headers: 0,
  created_by: apps.ada.id,
  created_at: apps.test.clock.now(),
  ...fields,
});

async function started(flags = {}): Promise<AppServer> {
  const apps = await startApps({ flags });
  await apps.program(8080, (_request, response) => response.end("ok"));
  return apps;
}

test("a share is listed, replaced and removed", async () => {
  await using apps = await started();
  const path = `/api/v2/workspaces/${apps.workspaceId}/port-share`;
  const made = await share(apps, { share_level: "authenticated", label: "for <b>Bob</b>" });
  expect([made.status, made.json]).toEqual([
    200,
    expect.objectContaining({
      port: 8080,
      share_level: "authenticated",
      protocol: "http",
      label: "for <b>Bob</b>",
      expires_at: null,
    }),
  ]);
  await share(apps, { share_level: "public" });
  const list = async () => (await send(apps.test.url, "GET", path, { token: apps.ada.token })).json.shares;
  expect(await list()).toEqual([expect.objectContaining({ agent_name: "main", port: 8080, share_level: "public" })]);
  const key = { agent_name: "main", port: 8080 };
  expect((await send(apps.test.url, "DELETE", path, { token: apps.ada.token, body: key })).status).toBe(200);
  expect((await send(apps.test.url, "DELETE", path, { token: apps.ada.token, body: key })).status).toBe(404);
  await share(apps, {});
  expect((await share(apps, { share_level: "owner" })).json.share_level).toBe("owner");
  expect(await list()).toEqual([]);
});

test("what a change of a share omits is kept, until the share has expired", async () => {
  await using apps = await started();
  const at = (ms: number) => new Date(apps.test.clock.now() + ms).toISOString();
  const choices = {
    label: "for Bob",
    expires_at: at(60_000),
    host_header: "localhost",
    cors: "passthru",
    cors_origins: ["https://tools.example.com"],
    also: ["8081"],
    identity_headers: true,
  };
  await share(apps, choices);
  expect((await share(apps, { share_level: "authenticated" })).json).toMatchObject({
    ...choices,
    share_level: "authenticated",
  });
  expect((await share(apps, { label: "", expires_at: null, cors_origins: [] })).json).toMatchObject({
    ...choices,
    label: "",
    expires_at: null,
    cors_origins: [],
  });
  await share(apps, choices);
  apps.test.clock.advance(60_000);
  const fresh = {
    label: "",
    expires_at: null,
    host_header: "preserve",
    cors: "simple",
    also: [],
    identity_headers: false,
  };
  expect((await share(apps, {})).json).toMatchObject(fresh);
});

test("a share with an invalid field is refused with the reason", async () => {
  await using apps = await started({ "max-share-level": "authenticated", "max-share-duration": "1h" });
  expect((await share(apps, {})).json.message).toBe("Port sharing level not allowed.");
  const level = { share_level: "authenticated" };
  expect((await share(apps, { ...level, agent_name: "none" })).json.message).toBe("Agent not found.");
  for (const port of [0, 8, 65_536, 80.5, "80"]) expect((await share(apps, { ...level, port })).status).toBe(400);
  const at = (ms: number) => new Date(apps.test.clock.now() + ms).toISOString();
  expect((await share(apps, { ...level, expires_at: at(-1) })).json.message).toBe("expires_at lies in the past.");
  expect((await share(apps, { ...level, expires_at: at(7_200_000) })).json.message).toBe("expires_at is too far away.");
  expect((await share(apps, level)).json.expires_at).toBe(at(3_600_000));
  expect((await share(apps, level, apps.bob.token)).status).toBe(404);
});

test("security S12: each visitor at each level", async () => {
  await using apps = await started();
  const visitors = { ada: apps.ada.token, bob: apps.bob.token, admin: apps.admin.token, anonymous: undefined };
  const statuses = async (): Promise<Record<string, number>> => {
    const entries = Object.entries(visitors).map(async ([name, token]) => {
      const answer = await apps.send(apps.host(8080), "/", token === undefined ? {} : { token });
      return [name, answer.status] as const;
    });
    return Object.fromEntries(await Promise.all(entries));
  };
  expect(await statuses()).toEqual({ ada: 200, bob: 404, admin: 200, anonymous: 401 });
  await share(apps, { share_level: "organization" });
  expect(await statuses()).toEqual({ ada: 200, bob: 200, admin: 200, anonymous: 401 });
  await share(apps, { share_level: "authenticated" });
  expect(await statuses()).toEqual({ ada: 200, bob: 200, admin: 200, anonymous: 401 });
  await share(apps, { share_level: "public" });
  expect(await statuses()).toEqual({ ada: 200, bob: 200, admin: 200, anonymous: 200 });
  await share(apps, { share_level: "public", expires_at: new Date(apps.test.clock.now() + 60_000).toISOString() });
  apps.test.clock.advance(59_999);
  await apps.test.server.parts.agentState.connected(apps.agentId, "2.0", "c");
  expect(await statuses()).toEqual({ ada: 200, bob: 200, admin: 200, anonymous: 200 });
  apps.test.clock.advance(1);
  expect(await statuses()).toEqual({ ada: 200, bob: 404, admin: 200, anonymous: 401 });
});

test("security S12: a lower cap narrows existing shares", async () => {
  await using apps = await started({ "max-share-level": "authenticated" });
  const { store } = apps.test.server.parts;
  await store.portShares.put(storedShare(apps, { level: "public" }));
  expect((await apps.send(apps.host(8080), "/")).status).toBe(401);
  expect((await apps.send(apps.host(8080), "/", { token: apps.bob.token })).status).toBe(200);

  // Both the chosen level and the effective one are shown.
  const get = async (path: string, token = apps.ada.token) =>
    (await send(apps.test.url, "GET", `/api/v2${path}`, { token })).json;
  const levels = { share_level: "public", effective_level: "authenticated" };
  expect(await get(`/workspaces/${apps.workspaceId}/port-share`)).toMatchObject({
    shares: [levels],
    max_share_level: "authenticated",
  });
  await declare(apps, "web", "authenticated");
  await declare(apps, "own", "owner");
  await store.apps.update((await store.apps.find(apps.workspaceId, "web"))!.id, { level: "public" });
  const appLevels = { sharing_level: "public", effective_level: "authenticated" };
  const { apps: declared } = await get(`/workspaces/${apps.workspaceId}/apps`);
  expect(declared).toMatchObject([appLevels, { slug: "own", effective_level: "owner" }]);
  const workspace = await get(`/workspaces/${apps.workspaceId}`);
  expect(workspace.latest_build.resources[0].agents[0].apps[0]).toMatchObject(appLevels);
  expect((await get("/deployment/shares", apps.admin.token)).shares).toMatchObject([
    { workspace: "dev", owner: "owner", agent: "main", port: 8080, level: "public", effective_level: "authenticated" },
    { workspace: "dev", owner: "owner", agent: "main", slug: "web", level: "public", effective_level: "authenticated" },
  ]);
});

test("a level that is no longer allowed is kept when another field of the share changes", async () => {
  await using apps = await started({ "max-share-level": "authenticated" });
  await apps.test.server.parts.store.portShares.put(storedShare(apps, { level: "public" }));
  expect((await share(apps, { label: "new" })).json).toMatchObject({ share_level: "public", label: "new" });
  expect((await apps.send(apps.host(8080), "/")).status).toBe(401);
  await share(apps, { share_level: "organization" });
  expect((await share(apps, {})).json.message).toBe("Port sharing level not allowed.");
});

const HOUR_MS = 3_600_000;

test.each([
  ["has no end", null],
  ["ends later", 168 * HOUR_MS],
])("security S12: a shorter maximum lifetime ends a share that %s", async (_what, life) => {
  await using apps = await started({ "max-share-duration": "1h" });
  const { clock } = apps.test;
  const begun = clock.now();
  const end = new Date(begun + HOUR_MS).toISOString();
  const row = storedShare(apps, { expires_at: life === null ? null : begun + life });
  await apps.test.server.parts.store.portShares.put(row);
  const path = `/api/v2/workspaces/${apps.workspaceId}/port-share`;
  const list = async () => (await send(apps.test.url, "GET", path, { token: apps.ada.token })).json.shares;
  const all = async () =>
    (await send(apps.test.url, "GET", "/api/v2/deployment/shares", { token: apps.admin.token })).json.shares;
  const visit = async () => (await apps.send(apps.host(8080), "/", { token: apps.bob.token })).status;
  expect([await list(), await all()]).toMatchObject([[{ expires_at: end }], [{ expires_at: end }]]);

  // It is prolonged neither by a change of another field nor by sending back the end that is shown.
  clock.advance(HOUR_MS / 2);
  const change = { share_level: "authenticated", label: "new" };
  expect((await share(apps, change)).json).toMatchObject({ label: "new", expires_at: end });
  expect((await share(apps, { ...change, expires_at: end })).json.expires_at).toBe(end);
  clock.advance(HOUR_MS / 2 - 1);
  await apps.test.server.parts.agentState.connected(apps.agentId, "2.0", "c");
  expect([await list(), await visit()]).toMatchObject([[{ expires_at: end }], 200]);
  clock.advance(1);
  expect([await list(), await all(), await visit()]).toEqual([[], [], 404]);

  const renewed = new Date(clock.now() + HOUR_MS).toISOString();
  expect((await share(apps, { share_level: "authenticated" })).json.expires_at).toBe(renewed);
});

test("ports to probe are named in the query, and invalid ones are refused", async () => {
  await using apps = await started();
  await apps.test.server.parts.agentState.disconnected(apps.agentId, "c");
  const ask = (query: string) =>
    send(apps.test.url, "GET", `/api/v2/workspaceagents/${apps.agentId}/listening-ports${query}`, {
      token: apps.ada.token,
    });
  for (const query of ["", "?probe=shared", "?probe=9&probe=65535&probe=shared"])
    expect((await ask(query)).json).toEqual({ ports: [], address: "" });
  for (const query of ["?probe=8", "?probe=65536", "?probe=all", "?probe=", `?${"probe=9&".repeat(17)}`])
    expect([query, (await ask(query)).status]).toEqual([query, 400]);
});

test("a key that is valid only for apps opens apps, and nothing of the API", async () => {
  await using apps = await started();
  const { store } = apps.test.server.parts;
  const key = await store.apiKeys.byId(apps.ada.token.slice(0, 10));
  await store.apiKeys.remove(key!.id);
  await store.apiKeys.insert({ ...key!, scope: "application_connect" });
  expect((await apps.send(apps.host(8080), "/", { token: apps.ada.token })).status).toBe(200);
  expect((await send(apps.test.url, "GET", "/api/v2/users/me", { token: apps.ada.token })).status).toBe(403);
});

test("a stopped workspace, or one whose agent is away, is reported as such to those who may know", async () => {
  await using apps = await started();
  const { token } = apps.ada;
  await apps.test.server.parts.agentState.disconnected(apps.agentId, "c");
  const offline = await apps.send(apps.host(8080), "/", { token });
  expect([offline.status, offline.text]).toEqual([502, expect.stringContaining("coder agent")]);
  expect((await apps.send(apps.host(8080), "/", { token: apps.bob.token })).status).toBe(404);
  await send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/builds`, {
    token,
    body: { transition: "stop" },
  });
  const stopped = await apps.send(apps.host(8080), "/", { token });
  expect([stopped.status, JSON.parse(stopped.text).message]).toEqual([503, "Workspace Stopped"]);
  const page = await apps.send(apps.host(8080), "/", { token, headers: { Accept: "text/html" } });
  expect(page.text).toMatch(/href="http:\/\/[^"/]+\/@owner\/dev"/);
  const other = await apps.send(apps.host(8080), "/", { token: apps.admin.token, headers: { Accept: "text/html" } });
  expect([other.status, other.text]).toEqual([503, expect.not.stringContaining("@owner")]);
});

/** A request whose answer never ends on its own; the promise resolves when it is disconnected. */
async function open(apps: AppServer, headers: Record<string, string>): Promise<{ closed: Promise<void> }> {
  const request = httpRequest({
    host: "127.0.0.1",
    port: apps.test.port,
    headers: { Host: apps.host(9000), ...headers },
  });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  response.on("error", () => undefined).resume();
  return { closed: new Promise((resolve) => response.on("close", resolve)) };
}

test.each<[string, (apps: AppServer) => Promise<unknown>]>([
  ["logs out", (apps) => send(apps.test.url, "POST", "/api/v2/users/logout", { token: apps.bob.token })],
  [
    "is suspended",
    (apps) => send(apps.test.url, "PUT", `/api/v2/users/${apps.bob.id}/status/suspend`, { token: apps.admin.token }),
  ],
  ["loses the share", (apps) => share(apps, { port: 9000, share_level: "owner" })],
  ["has a share that ends", async (apps) => apps.test.clock.advance(60_000)],
  ["has a session that ends", async (apps) => apps.test.clock.advance(86_400_000)],
  [
    "uses a workspace that stops",
    (apps) =>
      send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/builds`, {
        token: apps.ada.token,
        body: { transition: "stop" },
      }),
  ],
  [
    "uses a workspace that is renamed",
    (apps) =>
      send(apps.test.url, "PATCH", `/api/v2/workspaces/${apps.workspaceId}`, {
        token: apps.ada.token,
        body: { name: "other" },
      }),
  ],
  [
    "uses a workspace that is deleted",
    (apps) =>
      send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/builds`, {
        token: apps.ada.token,
        body: { transition: "delete" },
      }),
  ],
])("security S13: what is open ends when its visitor %s", async (_what, act) => {
  await using apps = await started();
  await apps.program(9000, (_request, response) =>
    response.writeHead(200, { "Content-Type": "text/event-stream" }).write("x"),
  );
  const expires_at = new Date(apps.test.clock.now() + 60_000).toISOString();
  await share(apps, { port: 9000, share_level: "authenticated", expires_at });
  const cookie = await signIn(apps, apps.host(9000), apps.bob.token);
  const bobs = await open(apps, { Cookie: cookie });
  await act(apps);
  await bobs.closed;
  const after = await apps.send(apps.host(9000), "/", { headers: { Cookie: cookie } });
  expect(after.status).toBeGreaterThanOrEqual(400);
});

test("security S13: a connection whose right is still valid continues", async () => {
  await using apps = await started();
  await apps.program(9000, (_request, response) => response.writeHead(200).write("x"));
  await share(apps, { port: 9000, share_level: "public" });
  let ended = false;
  const adas = await open(apps, { "Coder-Session-Token": apps.ada.token });
  void adas.closed.then(() => {
    ended = true;
  });
  const bobs = await open(apps, { "Coder-Session-Token": apps.bob.token });
  await share(apps, { port: 9000, share_level: "owner" });
  await bobs.closed;
  expect(ended).toBe(false);
});
