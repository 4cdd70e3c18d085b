import { readFileSync } from "node:fs";
import { join } from "node:path";
import { apiKey, apiKeysResponse, generateApiKeyResponse } from "coder-protocol/rest/api-keys";
import { errorBody, SESSION_TOKEN_PATTERN } from "coder-protocol/rest/common";
import { authMethods, user as userSchema } from "coder-protocol/rest/users";
import { expect, test } from "vitest";
import {
  addMember,
  addWorkspace,
  agentToken,
  firstUser,
  login,
  PASSWORD,
  send,
  startServer,
  type TestServer,
} from "./helpers.ts";

const HOUR = 3_600_000;
const me = "/api/v2/users/me";

test("a new server has no user, then exactly one first user", async () => {
  await using test = await startServer();
  const before = await send(test.url, "GET", "/api/v2/users/first");
  expect(before.status).toBe(404);
  expect(errorBody.safeParse(before.json).success).toBe(true);

  const { token, id } = await firstUser(test.url);
  expect(token).toMatch(SESSION_TOKEN_PATTERN);
  expect((await send(test.url, "GET", "/api/v2/users/first")).status).toBe(200);

  const again = await send(test.url, "POST", "/api/v2/users/first", {
    body: { email: "eve@example.com", username: "eve", password: PASSWORD },
  });
  expect(again.status).toBe(400);

  const user = userSchema.parse((await send(test.url, "GET", me, { token })).json);
  expect(user).toMatchObject({ id, username: "ada", email: "ada@example.com", status: "active" });
  expect(user.roles.map((role) => role.name)).toEqual(["owner"]);
  expect(authMethods.parse((await send(test.url, "GET", "/api/v2/users/authmethods")).json).password.enabled).toBe(
    true,
  );
});

test("of two simultaneous first users, one is created", async () => {
  await using test = await startServer();
  const answers = await Promise.all(
    ["a", "b", "c"].map((name) =>
      send(test.url, "POST", "/api/v2/users/first", {
        body: { email: `${name}@example.com`, username: name, password: PASSWORD },
      }),
    ),
  );
  expect(answers.map((answer) => answer.status).sort()).toEqual([201, 400, 400]);
  expect(await test.server.parts.store.users.count()).toBe(1);
});

test("bad input is named field by field", async () => {
  await using test = await startServer();
  const answer = await send(test.url, "POST", "/api/v2/users/first", {
    body: { email: "nobody", username: "-x-", password: "short" },
  });
  expect(answer.status).toBe(400);
  expect(
    errorBody
      .parse(answer.json)
      .validations?.map((entry) => entry.field)
      .sort(),
  ).toEqual(["email", "password", "username"]);
  expect((await send(test.url, "POST", "/api/v2/users/first", { rawBody: "{" })).status).toBe(400);
  expect((await send(test.url, "POST", "/api/v2/users/first", { rawBody: "[]" })).status).toBe(400);
});

test("security 38: unknown user, wrong password and suspended account get one answer, and logins are rate limited", async () => {
  await using test = await startServer();
  const owner = await firstUser(test.url);
  const member = await addMember(test.url, owner.token, "bob");
  await send(test.url, "PUT", `/api/v2/users/${member.id}/status/suspend`, { token: owner.token });
  const attempt = (email: string, password: string) =>
    send(test.url, "POST", "/api/v2/users/login", { body: { email, password } });
  const wrong = await attempt("ada@example.com", "not it at all");
  const unknown = await attempt("zoe@example.com", "not it at all");
  const suspended = await attempt("bob@example.com", PASSWORD);
  for (const answer of [wrong, unknown, suspended]) {
    expect(answer.status).toBe(401);
    expect(answer.text).toBe(wrong.text);
  }
  const statuses: number[] = [];
  for (let i = 0; i < 12; i++) statuses.push((await attempt("ada@example.com", "guess")).status);
  expect(statuses.at(-1)).toBe(429);
  const limited = await attempt("ada@example.com", PASSWORD);
  expect(limited.status).toBe(429);
  expect(Number(limited.headers["retry-after"])).toBeGreaterThan(0);
  test.clock.advance(61_000);
  expect((await attempt("ada@example.com", PASSWORD)).status).toBe(201);
});

test("security 38: only wrong passwords count against an account, and right ones between them give no more guesses", async () => {
  await using test = await startServer();
  await firstUser(test.url);
  const attempt = async (password: string) =>
    (await send(test.url, "POST", "/api/v2/users/login", { body: { email: "ada@example.com", password } })).status;
  for (let i = 0; i < 30; i++) expect(await attempt(PASSWORD)).toBe(201);
  for (let i = 0; i < 10; i++)
    expect([await attempt("guess"), i < 9 && (await attempt(PASSWORD))]).toEqual([401, i < 9 && 201]);
  expect([await attempt("guess"), await attempt(PASSWORD)]).toEqual([429, 429]);
});

test("security 2: neither tokens nor passwords are in the state directory's database", async () => {
  await using test = await startServer({ store: "sqlite" });
  const { token } = await firstUser(test.url);
  const api = await send(test.url, "POST", `${me}/keys/tokens`, { token, body: { lifetime: 0, token_name: "ci" } });
  const workspace = await addWorkspace(test.url, token, "dev");
  const agent = await agentToken(test.url, token, workspace.id);
  const rotated = await send(test.url, "POST", `/api/v2/workspaces/${workspace.id}/external-agent/main/rotate`, {
    token,
  });
  const files = ["coder.db", "coder.db-wal"].map((name) => readFileSync(join(test.stateDir, name)));
  const dump = Buffer.concat(files).toString("latin1");
  expect(dump).toContain("ada@example.com");
  for (const secret of [
    token,
    token.slice(11),
    api.json.key,
    api.json.key.slice(11),
    agent,
    rotated.json.agent_token,
    PASSWORD,
  ]) {
    expect(dump).not.toContain(secret);
  }
  for (const secret of [agent, rotated.json.agent_token]) {
    expect(dump).not.toContain(secret.replaceAll("-", ""));
    expect(Buffer.concat(files).includes(Buffer.from(secret.replaceAll("-", ""), "hex"))).toBe(false);
  }
  const keys: Record<string, string> = JSON.parse(readFileSync(join(test.stateDir, "keys.json"), "utf8"));
  for (const value of Object.values(keys)) if (typeof value === "string") expect(dump).not.toContain(value);
});

test("security 4: after logout, removal, password change and suspension the old token gets 401", async () => {
  await using test = await startServer();
  const owner = await firstUser(test.url);
  const status = async (token: string) => (await send(test.url, "GET", me, { token })).status;

  const session = await login(test.url, "ada@example.com");
  expect((await send(test.url, "POST", "/api/v2/users/logout", { token: session })).status).toBe(200);
  expect(await status(session)).toBe(401);
  expect(await status(owner.token)).toBe(200);

  const bob = await addMember(test.url, owner.token, "bob");
  const api = (await send(test.url, "POST", `${me}/keys/tokens`, { token: bob.token, body: { token_name: "ci" } })).json
    .key;
  expect(await status(api)).toBe(200);
  expect((await send(test.url, "DELETE", `${me}/keys/${api.slice(0, 10)}`, { token: bob.token })).status).toBe(204);
  expect(await status(api)).toBe(401);

  const changed = await send(test.url, "PUT", `${me}/password`, {
    token: bob.token,
    body: { old_password: PASSWORD, password: "another password" },
  });
  expect(changed.status).toBe(204);
  expect(await status(bob.token)).toBe(401);
  const fresh = await login(test.url, "bob@example.com", "another password");
  expect(await status(fresh)).toBe(200);
  await send(test.url, "PUT", `/api/v2/users/bob/status/suspend`, { token: owner.token });
  expect(await status(fresh)).toBe(401);
  await send(test.url, "PUT", `/api/v2/users/bob/status/activate`, { token: owner.token });
  expect(await status(fresh)).toBe(200);
  expect((await send(test.url, "DELETE", `/api/v2/users/bob`, { token: owner.token })).status).toBe(200);
  expect(await status(fresh)).toBe(401);
  // Name and address are free again.
  expect((await addMember(test.url, owner.token, "bob")).id).not.toBe(bob.id);
});

test("guessing one's own old password is limited like logging in", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const statuses = new Set<number>();
  for (let i = 0; i < 12; i++) {
    const body = { old_password: `guess ${i}`, password: "another password" };
    statuses.add((await send(test.url, "PUT", `${me}/password`, { token, body })).status);
  }
  expect([...statuses]).toEqual([400, 429]);
});

test("a login lasts for the session duration after its last use, an API token for its lifetime", async () => {
  await using test = await startServer({ flags: { "session-duration": "24h" } });
  const { token } = await firstUser(test.url);
  const api = await send(test.url, "POST", `${me}/keys/tokens`, {
    token,
    body: { lifetime: 30 * HOUR * 1e6, token_name: "ci" },
  });
  const key = generateApiKeyResponse.parse(api.json).key;
  for (let day = 0; day < 3; day++) {
    test.clock.advance(20 * HOUR);
    expect((await send(test.url, "GET", me, { token })).status).toBe(200);
    // Used all the time, and still expired after 30 hours.
    expect((await send(test.url, "GET", me, { token: key })).status).toBe(day === 0 ? 200 : 401);
  }
  test.clock.advance(25 * HOUR);
  const expired = await send(test.url, "GET", me, { token });
  expect(expired.status).toBe(401);
  expect(expired.json.message).toContain("expired");
});

test("the name of an API token that expired is free, and then names the new one", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const create = () =>
    send(test.url, "POST", `${me}/keys/tokens`, { token, body: { lifetime: HOUR * 1e6, token_name: "ci" } });
  const old = (await create()).json.key.slice(0, 10);
  expect((await create()).status).toBe(409);
  test.clock.advance(HOUR);
  const made = await create();
  expect(made.status).toBe(201);
  const { json } = await send(test.url, "GET", `${me}/keys/tokens?include_expired=true`, { token });
  expect(json.map(({ id }: { id: string }) => id)).toEqual([made.json.key.slice(0, 10)]);
  expect((await send(test.url, "GET", `${me}/keys/${old}`, { token })).status).toBe(404);
});

test("API tokens: create, list, show, expire, remove", async () => {
  await using test = await startServer({ flags: { "max-token-lifetime": "1000h" } });
  const owner = await firstUser(test.url);
  const bob = await addMember(test.url, owner.token, "bob");
  const create = (body: object) => send(test.url, "POST", `${me}/keys/tokens`, { token: bob.token, body });
  const made = await create({ lifetime: 2 * HOUR * 1e6, scope: "all", token_name: "ci" });
  expect(made.status).toBe(201);
  const id = made.json.key.slice(0, 10);
  expect((await create({ token_name: "ci" })).status).toBe(409);
  expect((await create({ lifetime: 1001 * HOUR * 1e6, token_name: "long" })).status).toBe(400);
  expect((await create({ lifetime: -1, token_name: "negative" })).status).toBe(400);
  expect((await create({ scope: "workspace:read", token_name: "scoped" })).status).toBe(400);
  expect((await create({ token_name: "bad name\n" })).status).toBe(400);

  const listed = apiKeysResponse.parse(
    (await send(test.url, "GET", `${me}/keys/tokens?include_all=false`, { token: bob.token })).json,
  );
  expect(listed).toHaveLength(1);
  expect(listed[0]).toMatchObject({
    id,
    token_name: "ci",
    username: "bob",
    lifetime_seconds: 7200,
    login_type: "token",
  });
  expect(JSON.stringify(listed)).not.toContain(made.json.key.slice(11));
  expect(apiKey.parse((await send(test.url, "GET", `${me}/keys/${id}`, { token: bob.token })).json).id).toBe(id);
  expect(apiKey.parse((await send(test.url, "GET", `${me}/keys/tokens/ci`, { token: bob.token })).json).id).toBe(id);
  const config = await send(test.url, "GET", `${me}/keys/tokens/tokenconfig`, { token: bob.token });
  expect(config.json.max_token_lifetime).toBe(1000 * HOUR * 1e6);

  // The owner sees all tokens, another member only their own.
  const carol = await addMember(test.url, owner.token, "carol");
  expect((await send(test.url, "GET", `${me}/keys/${id}`, { token: carol.token })).status).toBe(404);
  expect((await send(test.url, "DELETE", `${me}/keys/${id}`, { token: carol.token })).status).toBe(404);
  const all = await send(test.url, "GET", `${me}/keys/tokens?include_all=true`, { token: owner.token });
  expect(all.json.map((entry: { username: string }) => entry.username)).toEqual(["bob"]);
  expect((await send(test.url, "GET", `${me}/keys/tokens?include_all=true`, { token: carol.token })).json).toEqual([]);

  expect((await send(test.url, "PUT", `${me}/keys/${id}/expire`, { token: bob.token })).status).toBe(204);
  expect((await send(test.url, "GET", me, { token: made.json.key })).status).toBe(401);
  expect((await send(test.url, "GET", `${me}/keys/tokens`, { token: bob.token })).json).toEqual([]);
  const withExpired = await send(test.url, "GET", `${me}/keys/tokens?include_expired=true`, { token: bob.token });
  expect(withExpired.json).toHaveLength(1);
  expect((await send(test.url, "DELETE", `${me}/keys/${id}`, { token: bob.token })).status).toBe(204);
  expect((await send(test.url, "DELETE", `${me}/keys/${id}`, { token: bob.token })).status).toBe(404);
});

test("POST users/me/keys exchanges a token for a new session", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const answer = await send(test.url, "POST", `${me}/keys`, { token });
  expect(answer.status).toBe(201);
  expect(answer.json.key).toMatch(SESSION_TOKEN_PATTERN);
  expect(answer.json.key).not.toBe(token);
  expect((await send(test.url, "GET", me, { token: answer.json.key })).status).toBe(200);
});

test("members manage no users, and the last owner stays", async () => {
  await using test = await startServer();
  const owner = await firstUser(test.url);
  const bob = await addMember(test.url, owner.token, "bob");
  const as = (token: string) => async (method: string, path: string, body?: object) =>
    (await send(test.url, method, path, { token, body })).status;
  const member = as(bob.token);
  expect(await member("GET", "/api/v2/users")).toBe(403);
  expect(await member("POST", "/api/v2/users", { email: "x@example.com", username: "x", password: PASSWORD })).toBe(
    403,
  );
  expect(await member("GET", "/api/v2/users/ada")).toBe(404);
  expect(await member("GET", `/api/v2/users/${owner.id}`)).toBe(404);
  expect(await member("GET", "/api/v2/users/absent")).toBe(404);
  expect(await member("PUT", "/api/v2/users/me/roles", { roles: ["owner"] })).toBe(403);
  expect(await member("DELETE", "/api/v2/users/ada")).toBe(403);
  expect(await member("PUT", "/api/v2/users/ada/password", { old_password: "", password: PASSWORD })).toBe(404);
  expect(await member("PUT", "/api/v2/users/me/password", { old_password: "wrong", password: PASSWORD })).toBe(400);
  expect(await member("GET", "/api/v2/debug/health")).toBe(403);
  const boss = as(owner.token);
  expect(await boss("PUT", "/api/v2/users/me/roles", { roles: [] })).toBe(400);
  expect(await boss("PUT", "/api/v2/users/me/status/suspend")).toBe(400);
  expect(await boss("DELETE", "/api/v2/users/me")).toBe(403);
  expect(await boss("PUT", "/api/v2/users/bob/roles", { roles: ["owner"] })).toBe(200);
  expect(await member("GET", "/api/v2/users")).toBe(200);
  expect(await member("PUT", "/api/v2/users/ada/roles", { roles: [] })).toBe(200);
  expect(await member("PUT", "/api/v2/users/ada/roles", { roles: ["king"] })).toBe(400);
  expect(await boss("GET", "/api/v2/users")).toBe(403);
  expect(
    await member("POST", "/api/v2/users", { email: "BOB@example.com", username: "bob2", password: PASSWORD }),
  ).toBe(409);
  expect(await member("POST", "/api/v2/users", { email: "b3@example.com", username: "BOB", password: PASSWORD })).toBe(
    409,
  );
});

test("every route but the public ones requires a token", async () => {
  await using test = await startServer();
  await firstUser(test.url);
  const paths = [
    "/users/me",
    "/users",
    "/workspaces",
    "/organizations",
    "/templates",
    "/appearance",
    "/deployment/ssh",
    "/entitlements",
    "/regions",
    "/workspaceagents/connection",
    "/workspaceagents/00000000-0000-4000-8000-000000000000",
    "/debug/health",
    "/debug/coordinator",
    "/users/me/keys/tokens",
  ];
  for (const path of paths) expect([path, (await send(test.url, "GET", `/api/v2${path}`)).status]).toEqual([path, 401]);
  for (const path of ["/buildinfo", "/updatecheck", "/users/authmethods", "/users/first"]) {
    expect([path, (await send(test.url, "GET", `/api/v2${path}`)).status]).toEqual([path, 200]);
  }
});

test("tokens of any other form are refused", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const wrong = [
    "x",
    `${token}a`,
    token.replace("-", "_"),
    `${token.slice(0, 11)}${"A".repeat(22)}`,
    `AAAAAAAAAA-${token.slice(11)}`,
    "' OR 1=1 --",
  ];
  for (const bad of wrong) expect((await send(test.url, "GET", me, { token: bad })).status).toBe(401);
});

async function restart(previous: TestServer): Promise<TestServer> {
  await previous.server.close();
  return await startServer({ stateDir: previous.stateDir });
}

test("all data is still there after a restart", async () => {
  const before = await startServer({ keep: true });
  const { token } = await firstUser(before.url);
  const workspace = await addWorkspace(before.url, token, "dev");
  const agent = await agentToken(before.url, token, workspace.id);
  const info = (await send(before.url, "GET", "/api/v2/buildinfo")).json;
  await using after = await restart(before);
  expect((await send(after.url, "GET", `${me}/workspace/dev`, { token })).json.id).toBe(workspace.id);
  expect(await agentToken(after.url, token, workspace.id)).toBe(agent);
  expect((await send(after.url, "GET", "/api/v2/buildinfo")).json.deployment_id).toBe(info.deployment_id);
});
