/** Declared apps: through the REST API, by the agent, and at their own host names. */
import { expect, test } from "vitest";
import { agentToken, send } from "../helpers.ts";
import { type AppServer, startApps } from "./helpers.ts";

const api = (apps: AppServer, method: string, path: string, body?: unknown, token = apps.ada.token) =>
  send(apps.test.url, method, `/api/v2/workspaces/${apps.workspaceId}/apps${path}`, {
    token,
    body,
  });

const web = { slug: "web", url: "http://127.0.0.1:8080" };

async function started(flags = {}): Promise<AppServer> {
  const apps = await startApps({ flags });
  await apps.program(8080, (request, response) => response.end(`${request.headers.host} ${request.url}`));
  return apps;
}

/** Authenticated by the agent's token. */
async function declare(apps: AppServer, body: unknown) {
  const token = await agentToken(apps.test.url, apps.ada.token, apps.workspaceId);
  return send(apps.test.url, "PUT", "/api/v2/workspaceagents/me/apps", { token, body: { apps: body } });
}

test("an app is added, shown where clients look, changed and removed", async () => {
  await using apps = await started();
  const added = await api(apps, "POST", "", { ...web, display_name: "Web", icon: "/icon/code.svg" });
  expect([added.status, added.json]).toEqual([
    201,
    {
      id: expect.any(String),
      agent_name: "main",
      slug: "web",
      display_name: "Web",
      icon: "/icon/code.svg",
      url: "http://127.0.0.1:8080",
      external: false,
      command: "",
      subdomain: true,
      subdomain_name: "web--main--dev--owner",
      sharing_level: "owner",
      effective_level: "owner",
      healthcheck: { url: "", interval: 0, threshold: 0 },
      health: "disabled",
      group: "",
      hidden: false,
      open_in: "slim-window",
      tooltip: "",
      statuses: [],
      host_header: "preserve",
      cors: "simple",
      cors_origins: [],
      also: [],
      identity_headers: false,
      source: "server",
    },
  ]);
  const agent = await send(apps.test.url, "GET", `/api/v2/workspaceagents/${apps.agentId}`, { token: apps.ada.token });
  expect(agent.json.apps).toEqual([expect.objectContaining({ slug: "web", subdomain_name: "web--main--dev--owner" })]);
  expect((await api(apps, "POST", "", web)).status).toBe(409);
  const changed = await api(apps, "PATCH", "/web", { display_name: "", sharing_level: "public" });
  expect([changed.status, changed.json.display_name, changed.json.sharing_level]).toEqual([200, "web", "public"]);
  expect((await api(apps, "GET", "")).json.apps).toHaveLength(1);
  expect((await api(apps, "DELETE", "/web")).status).toBe(204);
  expect((await api(apps, "DELETE", "/web")).status).toBe(404);
  expect((await api(apps, "PATCH", "/web", {})).status).toBe(404);
});

test("an invalid app is refused with the fields at fault", async () => {
  await using apps = await started({ "max-share-level": "authenticated" });
  const refusal = async (body: object) => {
    const answer = await api(apps, "POST", "", { ...web, ...body });
    return [answer.status, answer.json.validations?.[0]?.field ?? answer.json.message];
  };
  expect(await refusal({ slug: "3000" })).toEqual([400, "slug"]);
  expect(await refusal({ slug: "a--b" })).toEqual([400, "slug"]);
  expect(await refusal({ url: "http://169.254.169.254/" })).toEqual([400, "url"]);
  expect(await refusal({ icon: "https://evil.example/x.svg" })).toEqual([400, "icon"]);
  expect(await refusal({ healthcheck: { url: "http://10.0.0.1/", interval: 1, threshold: 1 } })).toEqual([
    400,
    "healthcheck.url",
  ]);
  expect(await refusal({ healthcheck: { url: "http://localhost/", interval: 0, threshold: 1 } })).toEqual([
    400,
    "healthcheck.interval",
  ]);
  expect(await refusal({ agent_name: "none" })).toEqual([400, "agent_name"]);
  expect(await refusal({ sharing_level: "public" })).toEqual([400, "App sharing level not allowed."]);
  expect((await api(apps, "POST", "", web, apps.bob.token)).status).toBe(404);
  for (let n = 0; n < 64; n++) expect((await api(apps, "POST", "", { ...web, slug: `app${n}` })).status).toBe(201);
  expect((await api(apps, "POST", "", web)).status).toBeGreaterThanOrEqual(400);
});

test("a workspace is created with its apps, or not at all", async () => {
  await using apps = await started({ "max-share-level": "authenticated" });
  const create = (name: string, list: object[]) =>
    send(apps.test.url, "POST", "/api/v2/users/me/workspaces", { token: apps.ada.token, body: { name, apps: list } });
  const made = await create("box", [web, { slug: "top", command: "htop" }]);
  expect(made.status).toBe(201);
  const slugs = made.json.latest_build.resources[0].agents[0].apps.map(({ slug }: { slug: string }) => slug);
  expect(slugs).toEqual(["web", "top"]);
  expect((await create("two", [web, web])).status).toBe(409);
  expect((await create("two", [{ ...web, sharing_level: "public" }])).status).toBe(400);
  expect((await create("two", [])).status).toBe(201);
});

test("a declared app is served at its name and at its alias, below its own path", async () => {
  await using apps = await started();
  await api(apps, "POST", "", { slug: "web", url: "http://localhost:8080/base/?folder=/home/dev" });
  const host = apps.host("web");
  const { token } = apps.ada;
  const first = await apps.send(host, "/", { token });
  expect([first.status, first.headers.location]).toEqual([307, "/?folder=/home/dev"]);
  expect((await apps.send(host, "/?folder=/home/dev", { token })).text).toBe(`${host} /base/?folder=/home/dev`);
  expect((await apps.send(host, "/?", { token })).text).toBe(`${host} /base/?`);
  expect((await apps.send(host, "/a/%2e%2e//b", { token })).text).toBe(`${host} /base/a/%2e%2e//b`);
  expect((await apps.send(host, "/", { token, method: "POST" })).text).toBe(`${host} /base/`);
  const { app_alias: alias } = (await apps.test.server.parts.store.agents.byId(apps.agentId))!;
  const short = `web--${alias}.coder.localhost:${apps.test.port}`;
  expect((await apps.send(short, "/x", { token })).text).toBe(`${short} /base/x`);
  expect((await apps.send(apps.host("x---web"), "/x", { token })).status).toBe(200);
  expect((await apps.send(apps.host("none"), "/", { token })).status).toBe(404);
  const me = await apps.send(`web--main--dev--me.coder.localhost:${apps.test.port}`, "/", { token });
  expect([me.status, me.text]).toEqual([404, expect.stringContaining("not @me.")]);
  const out = await apps.send(`coder-logout.coder.localhost:${apps.test.port}`, "/x", {});
  expect([out.status, out.headers.location]).toEqual([303, `http://coder.localhost:${apps.test.port}/`]);
});

test("an app of localhost's name, a command and an external app", async () => {
  await using apps = await started();
  await api(apps, "POST", "", { ...web, host_header: "localhost" });
  await api(apps, "POST", "", { slug: "top", command: "htop" });
  await api(apps, "POST", "", { slug: "docs", url: "https://example.com", external: true });
  const { token } = apps.ada;
  expect((await apps.send(apps.host("web"), "/", { token })).text).toBe("localhost:8080 /");
  expect((await apps.send(apps.host("top"), "/", { token })).status).toBe(404);
  expect((await apps.send(apps.host("docs"), "/", { token })).status).toBe(404);
});

test("an agent's list replaces the previous one, and alone widens nothing", async () => {
  await using apps = await started();
  await api(apps, "POST", "", { ...web, slug: "server" });
  const first = await declare(apps, [
    { ...web, sharing_level: "public" },
    { ...web, slug: "server" },
    { slug: "x", url: "https://example.com", external: true },
  ]);
  expect([first.status, first.json.apps.length, first.json.ignored]).toEqual([
    200,
    1,
    [
      { slug: "server", reason: "the workspace has another app of that name" },
      { slug: "x", reason: "an agent declares no external apps" },
    ],
  ]);
  expect(first.json.apps[0]).toMatchObject({ sharing_level: "owner", requested_level: "public", source: "agent" });
  expect((await apps.send(apps.host("web"), "/")).status).toBe(401);
  expect((await api(apps, "PATCH", "/web", { sharing_level: "public" })).status).toBe(400);
  expect((await api(apps, "PATCH", "/web", { sharing_level: "public", url: "http://localhost:9" })).status).toBe(409);
  expect((await api(apps, "PATCH", "/web", { sharing_level: "public", url: web.url, icon: "" })).status).toBe(400);
  const approved = await api(apps, "PATCH", "/web", { sharing_level: "public", url: web.url });
  expect(approved.json).toMatchObject({ sharing_level: "public" });
  expect(approved.json).not.toHaveProperty("requested_level");
  expect((await apps.send(apps.host("web"), "/")).status).toBe(200);
  await declare(apps, [{ slug: "web", url: "http://127.0.0.1:8080/other", sharing_level: "public" }]);
  expect((await apps.send(apps.host("web"), "/")).status).toBe(401);
  await declare(apps, []);
  expect((await api(apps, "GET", "")).json.apps.map(({ slug }: { slug: string }) => slug)).toEqual(["server"]);
  const user = await send(apps.test.url, "PUT", "/api/v2/workspaceagents/me/apps", {
    token: apps.ada.token,
    body: { apps: [] },
  });
  expect(user.status).toBe(401);
  expect((await declare(apps, [{ ...web, tooltip: "x".repeat(70_000) }])).status).toBe(413);
});
