/** Less common requests of stock clients: each gets an answer of the right form. */
import { apiKey } from "coder-protocol/rest/api-keys";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { inboxResponse } from "coder-protocol/rest/notifications";
import { expect, test } from "vitest";
import { z } from "zod";
import { addMember, addWorkspace, firstUser, openSocketOrFail, send, startServer } from "./helpers.ts";
import { TEST_DATABASE_PASSWORD } from "./postgres/test-database.ts";

const api = "/api/v2";

test("search terms are answered from existing data", async () => {
  await using at = await startServer();
  const { token } = await firstUser(at.url);
  const workspace = await addWorkspace(at.url, token, "dev");
  at.clock.advance(3_600_000);
  const later = await addWorkspace(at.url, token, "later");
  const { agentState } = at.server.parts;
  await agentState.connected(later.latest_build.resources[0].agents[0].id, "2.6", "c");
  const organization = later.organization_id;
  const between = new Date(at.clock.now() - 60_000).toISOString();
  const q = async (text: string) => {
    const answer = await send(at.url, "GET", `${api}/workspaces?q=${encodeURIComponent(text)}`, { token });
    if (answer.status !== 200) throw new Error(`${text}: ${answer.status} ${answer.text}`);
    return answer.json.workspaces.map((found: { name: string }) => found.name).sort();
  };
  const both = ["dev", "later"];
  for (const none of ["shared", "dormant", "is-dormant", "outdated", "has-ai-task"]) {
    expect(await q(`owner:me ${none}:true`)).toEqual([]);
    expect(await q(`owner:me ${none}:false`)).toEqual(both);
  }
  expect(await q("param:region")).toEqual([]);
  expect(await q(`id:${workspace.id.toUpperCase()}`)).toEqual(["dev"]);
  expect(await q(`organization:${organization}`)).toEqual(both);
  expect(await q("organization:coder")).toEqual(both);
  expect(await q("organization:other")).toEqual([]);
  expect(await q(`last_used_before:"${between}"`)).toEqual(["dev"]);
  expect(await q(`last_used_after:"${between}"`)).toEqual(["later"]);
  expect(await q("healthy:true")).toEqual(["later"]);
  expect(await q("healthy:false")).toEqual(["dev"]);
  expect(await q("has-agent:timeout,connected")).toEqual(both);
});

test("notifications: an empty inbox, and a socket that stays silent until the login ends", async () => {
  await using at = await startServer();
  const owner = await firstUser(at.url);
  const inbox = await send(at.url, "GET", `${api}/notifications/inbox?read_status=unread`, { token: owner.token });
  expect(inboxResponse.parse(inbox.json)).toEqual({ notifications: [], unread_count: 0 });
  expect((await send(at.url, "GET", `${api}/notifications/inbox`)).status).toBe(401);
  const watch = await openSocketOrFail(at.url, `${api}/notifications/inbox/watch?format=plaintext`, {
    [SESSION_TOKEN_HEADER]: owner.token,
  });
  await send(at.url, "POST", `${api}/users/logout`, { token: owner.token });
  expect(await watch.next()).toBeUndefined();
  expect(await watch.closed).toBe(1008);
});

test("a user's keys: logins and tokens of their own, without secrets", async () => {
  await using at = await startServer();
  const owner = await firstUser(at.url);
  const bob = await addMember(at.url, owner.token, "bob");
  await send(at.url, "POST", `${api}/users/me/keys/tokens`, { token: bob.token, body: { token_name: "ci" } });
  const keys = z.array(apiKey).parse((await send(at.url, "GET", `${api}/users/me/keys`, { token: bob.token })).json);
  expect(keys.map((key) => key.login_type).sort()).toEqual(["password", "token"]);
  expect(keys.every((key) => key.user_id === bob.id)).toBe(true);
  expect(JSON.stringify(keys)).not.toContain(bob.token.slice(11));
  expect((await send(at.url, "GET", `${api}/users/${owner.id}/keys`, { token: bob.token })).status).toBe(404);
});

test("deployment/config and the debug figures are for owners and hold no secret", async () => {
  await using at = await startServer();
  const owner = await firstUser(at.url);
  const bob = await addMember(at.url, owner.token, "bob");
  const paths = ["deployment/config", "debug/expvar", "debug/derp/traffic", "debug/health/settings"];
  for (const path of paths) {
    expect((await send(at.url, "GET", `${api}/${path}`, { token: bob.token })).status).toBe(403);
  }
  const read = async (path: string) => (await send(at.url, "GET", `${api}/${path}`, { token: owner.token })).json;
  const { config, options } = await read("deployment/config");
  expect(config).toMatchObject({ derp: { config: { block_direct: false } }, workspace_hostname_suffix: "coder" });
  const option = (name: string) => options.find((one: { name: string }) => one.name === name);
  expect(option("http-address")).toMatchObject({ value: "127.0.0.1:0", value_source: "flag" });
  expect(option("postgres-url").value).not.toContain(TEST_DATABASE_PASSWORD);
  expect(JSON.stringify(config)).not.toContain(at.stateDir);
  expect((await read("debug/expvar")).memstats.Sys).toBeGreaterThan(0);
  expect(await read("debug/derp/traffic")).toEqual([]);
});

test("health warnings can be dismissed by section, and stay dismissed", async () => {
  await using at = await startServer();
  const { token } = await firstUser(at.url);
  const path = `${api}/debug/health/settings`;
  expect((await send(at.url, "GET", path, { token })).json).toEqual({ dismissed_healthchecks: [] });
  const body = { dismissed_healthchecks: ["Database"] };
  expect((await send(at.url, "PUT", path, { token, body })).status).toBe(200);
  expect((await send(at.url, "GET", path, { token })).json).toEqual(body);
  const report = (await send(at.url, "GET", `${api}/debug/health`, { token })).json;
  expect([report.database.dismissed, report.access_url.dismissed]).toEqual([true, false]);
  const bad = { dismissed_healthchecks: ["Weather"] };
  expect((await send(at.url, "PUT", path, { token, body: bad })).status).toBe(400);
});

test("the root of the API with and without a slash, and an install script for PowerShell", async () => {
  await using at = await startServer();
  const root = await send(at.url, "GET", "/api/v2/");
  expect(root.json).toEqual((await send(at.url, "GET", "/api/v2")).json);
  expect(root.json.message).toBeDefined();
  const script = await send(at.url, "GET", "/install.ps1");
  expect(script.text).toContain(`$base = '${at.url}'\r\n`);
  expect(script.text).toContain("login $base");
  expect(script.text).not.toMatch(/[^\r]\n/);
});
