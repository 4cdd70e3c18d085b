/** What a proxy's token grants, and what ends with it. */
import { randomUUID } from "node:crypto";
import { PROXY_TOKEN_HEADER, PROXY_TOKEN_PATTERN } from "coder-protocol/rest/workspace-proxies";
import { expect, test, vi } from "vitest";
import { meshKeyOf } from "../src/relay/relay-keys.ts";
import { addWorkspace, agentToken, openSocket, openSocketOrFail, send } from "./helpers.ts";
import { createProxy, type Deployment, FakeProxy, PROXIES, proxyDeployment, regionIds, until } from "./proxies.ts";

const REGION = 10_001;
const edit = (at: Deployment, body: unknown) => send(at.url, "PATCH", `${PROXIES}/near`, { token: at.token, body });

test("security R16: a proxy token works on the proxy's own routes only, and a user's or an agent's on none of these", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const { id, token } = await createProxy(at, "near");
  const workspace = await addWorkspace(at.url, at.token, "demo");
  const agent = await agentToken(at.url, at.token, workspace.id);

  const asAnything: Record<string, string>[] = [
    { [PROXY_TOKEN_HEADER]: token },
    { "Coder-Session-Token": token },
    { Cookie: `coder_session_token=${token}` },
    { Authorization: `Bearer ${token}` },
  ];
  for (const [method, path] of [
    ["GET", "/api/v2/users/me"],
    ["GET", "/api/v2/regions"],
    ["GET", PROXIES],
    ["GET", `${PROXIES}/${id}`],
    ["PATCH", `${PROXIES}/${id}`],
    ["DELETE", `${PROXIES}/${id}`],
    ["GET", "/api/v2/workspaces"],
    ["GET", "/api/v2/deployment/config"],
  ] as const)
    for (const headers of asAnything) {
      const answer = await send(at.url, method, path, { headers });
      expect([path, headers, answer.status]).toEqual([path, headers, 401]);
    }
  for (const path of ["/api/v2/tailnet?version=2.0", "/api/v2/workspaceagents/me/rpc?version=2.0"])
    expect(await openSocket(at.url, path, { [PROXY_TOKEN_HEADER]: token })).toMatchObject({ status: 401 });

  const body = process.registration();
  for (const route of ["register", "deregister", "crypto-keys", "anything"])
    for (const [header, value] of [
      ["Coder-Session-Token", at.token],
      [PROXY_TOKEN_HEADER, at.token],
      ["Coder-Session-Token", agent],
      [PROXY_TOKEN_HEADER, agent],
      ["Coder-Session-Token", token],
    ] as const) {
      const answer = await send(at.url, "POST", `${PROXIES}/me/${route}`, { body, headers: { [header]: value } });
      expect([route, header, answer.status]).toEqual([route, header, 401]);
    }
  const keys = await openSocket(at.url, `${PROXIES}/me/relay-keys`, { "Coder-Session-Token": at.token });
  expect(keys).toMatchObject({ status: 401 });
  expect((await process.register(at, token)).status).toBe(201);
});

test("a token with another secret, of another proxy, or of another form is refused", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const one = await createProxy(at, "near");
  const two = await createProxy(at, "far");
  for (const token of [
    "",
    one.token.slice(0, -1),
    `${one.token}0`,
    `${one.id}:${"0".repeat(64)}`,
    `${one.id}:${two.token.split(":")[1]}`,
    `${randomUUID()}:${one.token.split(":")[1]}`,
    one.token.toUpperCase(),
  ])
    expect((await process.register(at, token)).status).toBe(401);
});

test("security R5: the database holds only the hash of a proxy's token", async () => {
  await using at = await proxyDeployment();
  const { id, token } = await createProxy(at, "near");
  const row = await at.server.parts.store.workspaceProxies.byId(id);
  expect(row?.token_hash).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.stringify(row)).not.toContain(token.split(":")[1]);
});

test("security R7: the mesh key that a proxy gets is not the primary's", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  const { keys, deployment } = at.server.parts;
  const { derp_mesh_key: key } = (await process.register(at, token)).json;
  expect(key).toMatch(/^[0-9a-f]{64}$/);
  expect(key).not.toBe(meshKeyOf(keys.derpPrivate, deployment.deploymentId));
});

test("security R19: another address is refused and logged while the known one answers", async () => {
  await using at = await proxyDeployment({ "proxy-health-interval": "1h" });
  await using process = await FakeProxy.start();
  await using thief = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  await process.register(at, token);
  await until(at, () => regionIds(at).includes(REGION));

  const refused = await thief.register(at, token);
  expect(refused.status).toBe(409);
  expect(refused.json.detail).toContain(process.url);
  expect((await process.register(at, token, { wildcard_hostname: "*.apps.example.com" })).status).toBe(409);
  expect(at.log.text).toContain("a workspace proxy was refused");
  const { path_app_url: url } = (await send(at.url, "GET", `${PROXIES}/near`, { token: at.token })).json;
  expect(url).toBe(process.url);
  expect(thief.checks).toBe(0);

  expect((await edit(at, { wildcard_hostname: "*.Apps.example.com" })).status).toBe(200);
  expect((await process.register(at, token, { wildcard_hostname: "*.apps.example.com" })).status).toBe(201);
});

test("security R20: a new token and a deletion end the proxy's sockets, and its region leaves the map", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const follow = (token: string) =>
    openSocketOrFail(at.url, `${PROXIES}/me/relay-keys`, { [PROXY_TOKEN_HEADER]: token });
  const { token } = await createProxy(at, "near");
  const other = await createProxy(at, "far");
  await process.register(at, token);
  await until(at, () => regionIds(at).includes(REGION));
  const bystander = await follow(other.token);
  const before = await follow(token);
  const replaced = (await edit(at, { regenerate_token: true })).json.proxy_token;
  expect(await before.closed).toBe(1008);
  expect(regionIds(at)).not.toContain(REGION);
  expect((await process.register(at, token)).status).toBe(401);

  // The process keeps its id, and reads the new token from its file.
  expect((await process.register(at, replaced)).status).toBe(201);
  await until(at, () => regionIds(at).includes(REGION));
  const after = await follow(replaced);
  await send(at.url, "DELETE", `${PROXIES}/near`, { token: at.token });
  expect(await after.closed).toBe(1008);
  expect(regionIds(at)).not.toContain(REGION);
  expect((await process.register(at, replaced)).status).toBe(401);
  expect(bystander.socket.readyState).toBe(bystander.socket.OPEN);
  bystander.socket.terminate();
});

test("a wildcard host name that an owner set does not block a proxy that only relays, and can be removed", async () => {
  await using at = await proxyDeployment({ "proxy-health-interval": "1h" });
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  await process.register(at, token);
  await until(at, () => regionIds(at).includes(REGION));
  await edit(at, { wildcard_hostname: "*.apps.example.com" });
  expect((await process.register(at, token)).status).toBe(201);
  const shown = async () => (await send(at.url, "GET", `${PROXIES}/near`, { token: at.token })).json.wildcard_hostname;
  expect(await shown()).toBe("*.apps.example.com");
  expect((await edit(at, { display_name: "Near" })).json.proxy.wildcard_hostname).toBe("*.apps.example.com");
  expect((await edit(at, { wildcard_hostname: "" })).json.proxy.wildcard_hostname).toBe("");
  expect(await shown()).toBe("");
});

test("a new token is returned even if the database goes away after the commit", async () => {
  await using at = await proxyDeployment();
  const { administration } = at.server.parts.proxies;
  const { workspaceProxies } = at.server.parts.store;
  const away = () => Promise.reject(new Error("the database is away"));
  const reads = [vi.spyOn(workspaceProxies, "byId"), vi.spyOn(workspaceProxies, "all")];
  for (const read of reads) read.mockImplementation(away);
  const made = await administration.create({ name: "near", displayName: "", icon: "" });
  const { proxy, token } = await administration.edit(made.proxy.id, { regenerate_token: true });
  for (const read of reads) read.mockRestore();
  expect([made.token, token]).toEqual([
    expect.stringMatching(PROXY_TOKEN_PATTERN),
    expect.stringMatching(PROXY_TOKEN_PATTERN),
  ]);
  expect(await workspaceProxies.byId(made.proxy.id)).toEqual(proxy);
});

test("security R20: after a new token the address is not checked, and the region stays out until a process registers with the token", async () => {
  await using at = await proxyDeployment({ "proxy-health-interval": "50ms" });
  await using process = await FakeProxy.start();
  const { id, token } = await createProxy(at, "near");
  await process.register(at, token);
  await until(at, () => regionIds(at).includes(REGION));
  const replaced = (await edit(at, { regenerate_token: true })).json.proxy_token;
  const { workspaceProxies } = at.server.parts.store;
  const failures = async () => (await workspaceProxies.byId(id))?.health_failures ?? 0;
  // A check that was in progress at the change is dropped; later ones find no process.
  await vi.waitFor(async () => expect(await failures()).toBeGreaterThan(3), { timeout: 20_000 });
  const before = process.checks;
  await vi.waitFor(async () => expect(await failures()).toBeGreaterThan(6), { timeout: 20_000 });
  expect(process.checks).toBe(before);
  expect(regionIds(at)).not.toContain(REGION);
  expect(await workspaceProxies.byId(id)).toMatchObject({
    health: expect.stringContaining("it has not registered with the new one"),
  });
  await process.register(at, replaced);
  await until(at, () => regionIds(at).includes(REGION));
});
