/** How owners administer workspace proxies through the REST API. */
import { PROXY_TOKEN_PATTERN, workspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { expect, test } from "vitest";
import { type Answer, addMember, send } from "./helpers.ts";
import { createProxy, type Deployment, PROXIES, proxyDeployment } from "./proxies.ts";

const as = (at: Deployment, method: string, path: string, body?: unknown, token = at.token): Promise<Answer> =>
  send(at.url, method, path, { token, body });
const namesOf = (regions: { name: string }[]) => regions.map(({ name }) => name);

test("a proxy is created, listed after the primary, renamed and deleted", async () => {
  await using at = await proxyDeployment();
  const made = await as(at, "POST", PROXIES, { name: "near", display_name: "Sydney", icon: "/emojis/1f1e6.png" });
  expect(made.status).toBe(201);
  expect(made.json.proxy_token).toMatch(PROXY_TOKEN_PATTERN);
  const proxy = workspaceProxy.parse(made.json.proxy);
  expect(proxy).toMatchObject({
    name: "near",
    display_name: "Sydney",
    icon_url: "/emojis/1f1e6.png",
    healthy: false,
    path_app_url: "",
    derp_enabled: false,
    derp_only: false,
    deleted: false,
    status: { status: "unregistered", checked_at: "0001-01-01T00:00:00Z" },
  });
  expect(made.json.proxy_token.startsWith(`${proxy.id}:`)).toBe(true);

  const { regions } = (await as(at, "GET", PROXIES)).json;
  expect(namesOf(regions)).toEqual(["primary", "near"]);
  expect(workspaceProxy.parse(regions[0])).toMatchObject({
    display_name: "Default",
    healthy: true,
    derp_enabled: true,
  });
  expect((await as(at, "GET", `${PROXIES}/near`)).json).toEqual(proxy);
  expect((await as(at, "GET", `${PROXIES}/${proxy.id.toUpperCase()}`)).json).toEqual(proxy);
  expect((await as(at, "GET", `${PROXIES}/primary`)).json.id).toBe(regions[0].id);
  expect((await as(at, "GET", `${PROXIES}/${regions[0].id}`)).json.name).toBe("primary");
  expect((await as(at, "GET", `${PROXIES}/far`)).status).toBe(404);

  const edited = await as(at, "PATCH", `${PROXIES}/near`, { name: "closer", display_name: "" });
  expect(edited.json.proxy_token).toBe("");
  expect(edited.json.proxy).toMatchObject({ name: "closer", display_name: "Sydney", icon_url: "/emojis/1f1e6.png" });

  const gone = await as(at, "DELETE", `${PROXIES}/closer`);
  expect([gone.status, gone.json]).toEqual([200, { message: "Proxy has been deleted!" }]);
  expect((await as(at, "GET", `${PROXIES}/closer`)).status).toBe(404);
  expect((await as(at, "GET", `${PROXIES}/${proxy.id}`)).status).toBe(404);
  expect((await as(at, "GET", PROXIES)).json.regions).toHaveLength(1);
});

test("names can be reused after a deletion, region numbers cannot", async () => {
  await using at = await proxyDeployment();
  await createProxy(at, "one");
  await createProxy(at, "two");
  await as(at, "DELETE", `${PROXIES}/two`);
  await createProxy(at, "two");
  const { all } = at.server.parts.proxies.directory;
  expect(all.map((row) => [row.name, row.region_number])).toEqual([
    ["one", 1],
    ["two", 3],
  ]);
});

test("proxies created at the same time get different numbers, and of two with equal names one is created", async () => {
  await using at = await proxyDeployment();
  const names = ["a", "b", "c", "same", "same", "d"];
  const answers = await Promise.all(names.map((name) => as(at, "POST", PROXIES, { name })));
  expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 201, 201, 409]);
  const numbers = at.server.parts.proxies.directory.all.map((row) => row.region_number);
  expect(new Set(numbers).size).toBe(5);
});

test("refusals name the field and the reason", async () => {
  await using at = await proxyDeployment();
  await createProxy(at, "near");
  const cases: [string, string, unknown, number, string][] = [
    ["POST", PROXIES, { name: "near" }, 409, 'Workspace proxy with name "near" already exists.'],
    ["POST", PROXIES, { name: "primary" }, 400, 'The name "primary" is reserved.'],
    ["POST", PROXIES, { name: "me" }, 400, 'The name "me" is reserved.'],
    ["POST", PROXIES, { name: "Near You" }, 400, "Validation failed."],
    ["POST", PROXIES, { name: "x".repeat(33) }, 400, "Validation failed."],
    ["POST", PROXIES, {}, 400, "Validation failed."],
    ["PATCH", `${PROXIES}/near`, { name: "primary" }, 400, 'The name "primary" is reserved.'],
    ["PATCH", `${PROXIES}/near`, { access_url: "ftp://x" }, 400, "The access URL must be of the form"],
    ["PATCH", `${PROXIES}/primary`, {}, 400, "No update arguments provided. Nothing to do."],
    ["PATCH", `${PROXIES}/primary`, { name: "other" }, 400, "Cannot update name of default primary proxy"],
    ["PATCH", `${PROXIES}/primary`, { regenerate_token: true }, 400, "The primary has no proxy token."],
    ["DELETE", `${PROXIES}/primary`, undefined, 400, "Cannot delete primary proxy"],
    ["DELETE", `${PROXIES}/far`, undefined, 404, 'There is no workspace proxy "far"'],
  ];
  for (const [method, path, body, status, message] of cases) {
    const answer = await as(at, method, path, body);
    expect([method, path, answer.status]).toEqual([method, path, status]);
    expect(answer.json.message).toContain(message);
  }
});

test("the primary has a display name and an icon of its own", async () => {
  await using at = await proxyDeployment();
  const answer = await as(at, "PATCH", `${PROXIES}/primary`, { name: "primary", display_name: "Frankfurt" });
  expect(answer.json).toMatchObject({ proxy: { name: "primary", display_name: "Frankfurt" }, proxy_token: "" });
  await as(at, "PATCH", `${PROXIES}/primary`, { icon: "/icon.png" });
  const { regions } = (await as(at, "GET", "/api/v2/regions")).json;
  expect(regions).toEqual([expect.objectContaining({ display_name: "Frankfurt", icon_url: "/icon.png" })]);
});

test("members see the regions, and may use none of the proxies' routes", async () => {
  await using at = await proxyDeployment();
  const { id } = await createProxy(at, "near");
  const member = await addMember(at.url, at.token, "bob");
  const { regions } = (await as(at, "GET", "/api/v2/regions", undefined, member.token)).json;
  expect(namesOf(regions)).toEqual(["primary", "near"]);
  expect(Object.keys(regions[1]).sort()).toEqual(
    ["display_name", "healthy", "icon_url", "id", "name", "path_app_url", "path_apps", "wildcard_hostname"].sort(),
  );
  for (const [method, path, body] of [
    ["GET", PROXIES],
    ["POST", PROXIES, { name: "mine" }],
    ["GET", `${PROXIES}/${id}`],
    ["PATCH", `${PROXIES}/${id}`, { regenerate_token: true }],
    ["DELETE", `${PROXIES}/${id}`],
  ] as const)
    expect((await as(at, method, path, body, member.token)).status).toBe(403);
  expect((await send(at.url, "GET", PROXIES)).status).toBe(401);
});

test("actions of owners on proxies are in the audit, and tokens are not in the log", async () => {
  await using at = await proxyDeployment();
  const { token } = await createProxy(at, "near");
  const replaced = (await as(at, "PATCH", `${PROXIES}/near`, { regenerate_token: true })).json.proxy_token;
  await as(at, "PATCH", `${PROXIES}/near`, { display_name: "Near" });
  await as(at, "DELETE", `${PROXIES}/near`);
  for (const action of ["proxy-created", "proxy-token-replaced", "proxy-changed", "proxy-deleted"])
    expect(at.log.text).toContain(`"audit":"${action}"`);
  for (const secret of [token, replaced]) expect(at.log.text).not.toContain(secret.split(":")[1]);
});
