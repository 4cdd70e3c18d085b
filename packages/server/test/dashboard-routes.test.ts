/** Routes that the dashboard's pages read in addition to the stream. */
import { expect, test } from "vitest";
import { addMember, addWorkspace, firstUser, PASSWORD, send, startServer } from "./helpers.ts";

async function deployment() {
  const at = await startServer();
  const owner = await firstUser(at.url);
  const member = await addMember(at.url, owner.token, "bob");
  const workspace = await addWorkspace(at.url, member.token, "dev");
  return { ...at, owner, member, agentId: workspace.latest_build.resources[0].agents[0].id as string };
}

test("profile: a user can be renamed, unless the name is taken or reserved; a member can rename only themself", async () => {
  await using at = await deployment();
  const rename = (token: string, user: string, body: unknown) =>
    send(at.url, "PUT", `/api/v2/users/${user}/profile`, { token, body });
  const renamed = await rename(at.member.token, "me", { username: "robert", name: "Robert" });
  expect([renamed.status, renamed.json.username, renamed.json.name]).toEqual([200, "robert", "Robert"]);
  expect((await send(at.url, "GET", "/api/v2/users/robert", { token: at.owner.token })).status).toBe(200);
  expect((await send(at.url, "GET", "/api/v2/users/bob", { token: at.owner.token })).status).toBe(404);
  expect((await rename(at.member.token, "me", { username: "ADA", name: "" })).status).toBe(409);
  expect((await rename(at.member.token, "me", { username: "me", name: "" })).status).toBe(400);
  expect((await rename(at.member.token, "ada", { username: "eve", name: "" })).status).toBe(404);
  expect((await rename(at.member.token, "me", { username: "ROBERT", name: "R" })).json.username).toBe("ROBERT");
  expect(at.log.text).toContain("user renamed");
});

test("appearance: kept for each user, in stock's form and with what the terminal needs", async () => {
  await using at = await deployment();
  const path = "/api/v2/users/me/appearance";
  const none = { theme_preference: "", terminal_font: "", terminal: {} };
  expect((await send(at.url, "GET", path, { token: at.member.token })).json).toEqual(none);
  const chosen = {
    theme_preference: "dark",
    terminal_font: "fira-code",
    terminal: { font_size: 16, copy_on_select: true },
  };
  expect((await send(at.url, "PUT", path, { token: at.member.token, body: chosen })).json).toEqual(chosen);
  expect((await send(at.url, "GET", path, { token: at.member.token })).json).toEqual(chosen);
  expect((await send(at.url, "GET", path, { token: at.owner.token })).json).toEqual(none);
  const stock = { theme_preference: "light", terminal_font: "" };
  expect((await send(at.url, "PUT", path, { token: at.member.token, body: stock })).json).toEqual({
    ...stock,
    terminal: {},
  });
  for (const body of [
    {},
    { theme_preference: "<b>", terminal_font: "" },
    { ...stock, terminal: { x: "y".repeat(65) } },
    { ...stock, terminal: Object.fromEntries(Array.from({ length: 33 }, (_, index) => ["x".repeat(index + 1), 1])) },
    {
      ...stock,
      terminal: Object.fromEntries(
        [..."abcdefghijklmnopqrstuvwxyz"].flatMap((one) => [
          [one, 1],
          [`${one}_`, 1],
        ]),
      ),
    },
  ])
    expect((await send(at.url, "PUT", path, { token: at.member.token, body })).status).toBe(400);
});

test("the connection log: newest first, filtered, by pages, for owners only", async () => {
  await using at = await deployment();
  const path = "/api/v2/deployment/connections";
  const { agentState } = at.server.parts;
  for (let n = 0; n < 7; n++)
    await agentState.reportConnection({
      agent_id: at.agentId,
      connection_id: `c${n}`,
      action: n % 2 === 0 ? "connect" : "disconnect",
      type: n < 3 ? "ssh" : "reconnecting_pty",
      ip: "192.0.2.1",
      status_code: 0,
      reason: "",
      reported_at: at.clock.now() + n,
    });
  const ask = async (query: string, token = at.owner.token) => await send(at.url, "GET", `${path}${query}`, { token });
  expect((await ask("", at.member.token)).status).toBe(403);
  const ids = async (query: string) =>
    (await ask(query)).json.connections.map((entry: { connection_id: string }) => entry.connection_id);
  expect(await ids("")).toEqual(["c6", "c5", "c4", "c3", "c2", "c1", "c0"]);
  const first = await ask("?limit=3");
  expect([first.json.next, first.json.connections.length]).toEqual(["3", 3]);
  expect((await ask("?limit=3&offset=6")).json).not.toHaveProperty("next");
  expect(await ids("?q=type:ssh+action:connect")).toEqual(["c2", "c0"]);
  expect(await ids("?q=owner:bob+de")).toHaveLength(7);
  expect(await ids("?q=owner:ada")).toEqual([]);
  expect((await ask("?q=colour:red")).status).toBe(400);
  expect((await ask("")).json.connections[0]).toMatchObject({
    workspace_name: "dev",
    workspace_owner_username: "bob",
    agent_name: "main",
  });
});

test("network: history of own agents, regions and home agents for owners; a disconnected agent is not asked", async () => {
  await using at = await deployment();
  const get = (path: string, token = at.member.token) => send(at.url, "GET", `/api/v2${path}`, { token });
  const history = await get(`/workspaceagents/${at.agentId}/network/history?range=24h`);
  expect([history.status, history.json.step_s, history.json.latency_ms.length]).toEqual([200, 300, 288]);
  expect((await get(`/workspaceagents/${at.agentId}/network/history?range=1y`)).status).toBe(400);
  expect((await get(`/workspaceagents/${at.agentId}/netcheck`)).status).toBe(409);
  expect((await get("/deployment/network")).status).toBe(403);
  const network = await get("/deployment/network", at.owner.token);
  expect(network.json).toMatchObject({
    regions: [{ embedded: true, latency_urls: ["/derp/latency-check"], agents: 0 }],
    connections: { direct: 0, relayed: 0, unknown: 0 },
  });
  at.server.parts.networkRecorder.record();
  expect((await get("/deployment/network/history", at.owner.token)).json.direct.at(-1)).toBe(0);
});

test("settings are listed with their source, and a token can be limited to web apps", async () => {
  await using at = await deployment();
  const config = await send(at.url, "GET", "/api/v2/deployment/config", { token: at.owner.token });
  const named = (name: string) => config.json.options.find((option: { name: string }) => option.name === name);
  expect(named("http-address")).toMatchObject({ value: "127.0.0.1:0", value_source: "flag" });
  expect(named("session-duration")).toMatchObject({ value_source: "default" });
  const made = await send(at.url, "POST", "/api/v2/users/me/keys/tokens", {
    token: at.member.token,
    body: { token_name: "apps", scope: "application_connect" },
  });
  expect(made.status).toBe(201);
  expect((await send(at.url, "GET", "/api/v2/users/me", { token: made.json.key })).status).toBe(403);
  const odd = { token_name: "odd", scopes: ["workspace:read"] };
  expect(
    (await send(at.url, "POST", "/api/v2/users/me/keys/tokens", { token: at.member.token, body: odd })).status,
  ).toBe(400);
});

test("the page of coder login sends a token to the command's listener, after an agreement and to nowhere else", async () => {
  await using at = await deployment();
  const state = "s".repeat(22);
  const callback = "http://127.0.0.1:34567/token";
  const query = new URLSearchParams({ callback, state }).toString();
  const headers = { Origin: at.url, "Content-Type": "application/x-www-form-urlencoded" };
  const get = (text: string, extra: Record<string, string> = {}) =>
    send(at.url, "GET", `/cli-auth?${text}`, { headers: extra });
  const post = (fields: Record<string, string>, extra: Record<string, string> = {}) =>
    send(at.url, "POST", "/cli-auth", {
      headers: { ...headers, ...extra },
      rawBody: new URLSearchParams(fields).toString(),
    });

  const login = await get(query);
  expect(login.text).toContain(`name="callback" value="${callback}"`);
  // The password alone sends nothing: a page in between says who requests the token.
  const entered = await post({ email: "bob@example.com", password: PASSWORD, callback, state });
  expect([
    entered.status,
    entered.text.includes("Log in the command line"),
    entered.text.includes('name="token"'),
  ]).toEqual([200, true, false]);
  const cookie = [entered.headers["set-cookie"]]
    .flat()
    .map((one) => String(one).split(";")[0])
    .join("; ");
  const csrf = /name="csrf" value="([^"]+)"/.exec(entered.text)?.[1] ?? "";
  const agreed = await post({ csrf, callback, state }, { Cookie: cookie });
  expect(agreed.status).toBe(200);
  expect(agreed.text).toContain(`<form method="post" action="${callback}">`);
  expect(agreed.text).toContain(`name="state" value="${state}"`);
  const token = /name="token" value="([^"]+)"/.exec(agreed.text)?.[1] ?? "";
  expect((await send(at.url, "GET", "/api/v2/users/me", { token })).json.username).toBe("bob");
  const policy = String(agreed.headers["content-security-policy"]);
  expect(policy).toContain("form-action http://127.0.0.1:34567;");
  expect(policy).not.toContain("unsafe");
  // Under a stricter policy browsers send "Origin: null", which the listener refuses.
  expect(agreed.headers["referrer-policy"]).toBe("origin");
  expect(String(agreed.headers["cache-control"])).toBe("no-store");

  for (const foreign of ["http://evil.example:34567/token", "http://localhost:34567/token", "javascript:alert(1)"]) {
    const refused = await get(new URLSearchParams({ callback: foreign, state }).toString(), { Cookie: cookie });
    expect([foreign, refused.status]).toEqual([foreign, 400]);
    expect((await post({ csrf, callback: foreign, state }, { Cookie: cookie })).status).toBe(400);
  }
  // Without a listener, the answer is the page that shows a token to paste.
  expect((await post({ csrf }, { Cookie: cookie })).text).toContain("Paste this into your terminal");
});

test("everything that is shared is listed for owners until it ends", async () => {
  await using at = await deployment();
  const workspace = (await send(at.url, "GET", "/api/v2/users/bob/workspace/dev", { token: at.member.token })).json.id;
  const expires = new Date(at.clock.now() + 3_600_000).toISOString();
  const body = {
    agent_name: "main",
    port: 3000,
    share_level: "authenticated",
    protocol: "http",
    label: "demo",
    expires_at: expires,
  };
  expect(
    (await send(at.url, "POST", `/api/v2/workspaces/${workspace}/port-share`, { token: at.member.token, body })).status,
  ).toBe(200);
  const list = (token: string) => send(at.url, "GET", "/api/v2/deployment/shares", { token });
  expect((await list(at.member.token)).status).toBe(403);
  expect((await list(at.owner.token)).json.shares).toMatchObject([
    {
      workspace: "dev",
      owner: "bob",
      agent: "main",
      port: 3000,
      level: "authenticated",
      label: "demo",
      created_by: "bob",
    },
  ]);
  at.clock.advance(3_600_001);
  expect((await list(at.owner.token)).json).toEqual({ shares: [] });
});
