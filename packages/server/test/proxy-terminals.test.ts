/** What a workspace proxy may do for the terminals that it serves, and what ends this right. */
import { randomUUID } from "node:crypto";
import { Tailnet } from "coder-protocol/gen/tailnet_pb.js";
import {
  PROXY_COORDINATE_PATH,
  PROXY_CRYPTO_KEYS_PATH,
  PTY_SIGNED_TOKEN_PATH,
  SIGNED_APP_TOKEN_PARAMETER,
} from "coder-protocol/rest/proxy-apps";
import { PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import { expect, test, vi } from "vitest";
import { addMember, openSocket, send } from "./helpers.ts";
import { agentNode, nodeOf, TestPeer } from "./peers.ts";
import { claimsOf, ending, keysOf, type Proxied, proxied, read, tunnelOf } from "./proxied.ts";
import { asProxy, createOtherProxy, type FakeProxy, PROXIES } from "./proxies.ts";

const proxyNode = nodeOf({ id: 77n, fill: 9, addresses: ["fd7a:115c:a1e0::77"] });

const wsUrl = (process: FakeProxy, agentId: string) =>
  `${process.url.replace("http", "ws")}/api/v2/workspaceagents/${agentId}/pty`;

function askForTerminal({ at, process, agentId }: Proxied, token: string, fields: object = {}) {
  const body = { url: wsUrl(process, agentId), agentID: agentId, ...fields };
  return send(at.url, "POST", PTY_SIGNED_TOKEN_PATH, { token, body });
}

function issue({ at, proxy, agentId }: Proxied, session: string, as = proxy.token) {
  const question = { app_request: { access_method: "terminal", agent_name_or_id: agentId }, session_token: session };
  return asProxy(at, as, "issue-signed-app-token", question);
}

test("a user's page gets a token for a terminal, which the proxy verifies and renews", async () => {
  await using on = await proxied();
  const answer = await askForTerminal(on, on.ada.token);
  expect(answer.status).toBe(200);
  const claims = await claimsOf(on, answer.json.signed_token);
  expect(claims).toMatchObject({
    access_method: "terminal",
    user_id: on.ada.id,
    workspace_id: on.workspaceId,
    agent_id: on.agentId,
    grant: { visitor: { username: "member", role: "member" }, workspace: { name: "dev" }, state: "running" },
  });
  expect(claims.grant.target).toBeUndefined();
  const renewed = await issue(on, claims.jti);
  expect(renewed.status).toBe(201);
  expect((await claimsOf(on, renewed.json.signed_token_str)).jti).toBe(claims.jti);

  // A program that has a token of the user, but no page, asks through the proxy.
  expect((await issue(on, on.ada.token)).status).toBe(201);
  for (const session of ["", "x", randomUUID(), on.proxy.token, `${"a".repeat(10)}-${"b".repeat(22)}`])
    expect([session, await issue(on, session)]).toMatchObject([
      session,
      { status: 401, headers: { "coder-app-refusal": "1" } },
    ]);
  const bad = await issue(on, on.ada.token, `${on.proxy.id}:${"0".repeat(64)}`);
  expect([bad.status, bad.headers["coder-app-refusal"]]).toEqual([401, undefined]);
});

test("a terminal's token is refused for another address, agent or user", async () => {
  await using on = await proxied();
  const { url } = on.process;
  const path = `/api/v2/workspaceagents/${on.agentId}/pty`;
  for (const wrong of [
    "",
    `${url}${path}`,
    `ws://127.0.0.1:1${path}`,
    `${on.at.url.replace("http", "ws")}${path}`,
    `${url.replace("http", "wss")}${path}`,
    `${url.replace("http", "ws")}${path}/..`,
    `${url.replace("http", "ws")}/api/v2/workspaceagents/${randomUUID()}/pty`,
  ])
    expect([wrong, (await askForTerminal(on, on.ada.token, { url: wrong })).status]).toEqual([wrong, 400]);
  const bob = await addMember(on.at.url, on.at.token, "bob");
  expect((await askForTerminal(on, bob.token)).status).toBe(404);
  const other = randomUUID();
  expect((await askForTerminal(on, on.ada.token, { agentID: other, url: wsUrl(on.process, other) })).status).toBe(404);
  expect((await issue(on, bob.token)).status).toBe(404);

  await on.process.register(on.at, on.proxy.token, { derp_only: true });
  expect((await askForTerminal(on, on.ada.token)).status).toBe(400);
});

test("security R17: a token that one proxy may read is refused by another and by the primary", async () => {
  await using on = await proxied();
  const other = await createOtherProxy(on.at, "far");
  const { signed_token: text } = (await askForTerminal(on, on.ada.token)).json;
  expect(await read(on, text)).toHaveProperty("claims");
  expect(await read(on, text, other)).toEqual({ refused: "signature" });
  const secrets = (await Promise.all([on.proxy.token, other.token].map((token) => keysOf(on.at, token)))).flat();
  expect(new Set(secrets.map(({ secret }) => secret)).size).toBe(secrets.length);

  const pty = `/api/v2/workspaceagents/${on.agentId}/pty?reconnect=${randomUUID()}&${SIGNED_APP_TOKEN_PARAMETER}=${text}`;
  expect(await openSocket(on.at.url, pty, {})).toMatchObject({ status: 401 });
  // The handle that renews a terminal is not accepted from another proxy.
  expect((await issue(on, (await claimsOf(on, text)).jti, other.token)).status).toBe(401);
});

test("security R18: a proxy has tunnels only to agents of which it serves something, and refusals are counted", async () => {
  await using on = await proxied();
  const refused = async () =>
    (await on.at.server.parts.metrics.registry.metrics()).match(/refused_tunnels_total (\d+)/)?.[1];
  const before = await TestPeer.ofProxy(on.at.url, on.proxy.token);
  before.tunnelTo(on.agentId);
  expect(await before.next()).toBe(`error: authorization: agent ${on.agentId} is not yours to reach`);
  expect(await before.next()).toBe("end");
  await before.connection.close();
  expect(await refused()).toBe("1");

  await askForTerminal(on, on.ada.token);
  await using peer = await tunnelOf(on);
  const other = await createOtherProxy(on.at, "far");
  await using stranger = await TestPeer.ofProxy(on.at.url, other.token);
  stranger.tunnelTo(on.agentId);
  expect(await stranger.next()).toContain("not yours to reach");
  peer.tunnelTo(randomUUID());
  expect(await peer.next()).toContain("not yours to reach");
  expect(await refused()).toBe("3");
});

test("security R16: the routes of apps and terminals accept only a proxy's token, and those of users accept none", async () => {
  await using on = await proxied();
  const headers = { [PROXY_TOKEN_HEADER]: on.proxy.token };
  const body = { url: wsUrl(on.process, on.agentId), agentID: on.agentId };
  expect((await send(on.at.url, "POST", PTY_SIGNED_TOKEN_PATH, { headers, body })).status).toBe(401);
  for (const token of [on.ada.token, on.at.token]) {
    const [get, post] = await Promise.all([
      send(on.at.url, "GET", `${PROXY_CRYPTO_KEYS_PATH}?feature=workspace_apps_token`, { token }),
      send(on.at.url, "POST", `${PROXIES}/me/issue-signed-app-token`, { token, body: {} }),
    ]);
    expect([get.status, post.status]).toEqual([401, 401]);
    for (const [route, body] of [
      ["app-stats", { stats: [] }],
      ["redeem-app-ticket", { ticket: "x", host: "x", nonce: "x" }],
    ] as const)
      expect((await send(on.at.url, "POST", `${PROXIES}/me/${route}`, { token, body })).status).toBe(401);
    const coordinate = await openSocket(on.at.url, `${PROXY_COORDINATE_PATH}?version=2.0`, {
      "Coder-Session-Token": token,
    });
    expect(coordinate).toMatchObject({ status: 401 });
  }
  const wrong = await send(on.at.url, "GET", `${PROXY_CRYPTO_KEYS_PATH}?feature=tailnet_resume`, { headers });
  expect(wrong.status).toBe(400);
});

test.each<[string, (on: Proxied) => Promise<unknown>]>([
  ["the user logs out", ({ at, ada }) => send(at.url, "POST", "/api/v2/users/logout", { token: ada.token })],
  [
    "the user is suspended",
    ({ at, ada }) => send(at.url, "PUT", `/api/v2/users/${ada.id}/status/suspend`, { token: at.token }),
  ],
  [
    "the workspace is deleted",
    ({ at, ada, workspaceId }) =>
      send(at.url, "POST", `/api/v2/workspaces/${workspaceId}/builds`, {
        token: ada.token,
        body: { transition: "delete" },
      }),
  ],
  [
    "the workspace takes end-to-end encrypted terminals only",
    ({ at, workspaceId }) =>
      send(at.url, "PUT", `/api/v2/workspaces/${workspaceId}/connection-policy`, {
        token: at.token,
        body: { require_e2e: true },
      }),
  ],
])("security R10: a proxy's tunnel ends when %s", async (_name, take) => {
  await using on = await proxied({ recheckMs: 3_600_000 });
  const claims = await claimsOf(on, (await askForTerminal(on, on.ada.token)).json.signed_token);
  await using peer = await tunnelOf(on);
  const answer = (await take(on)) as { status: number; text: string };
  expect([answer.text, Math.floor(answer.status / 100)]).toEqual([answer.text, 2]);
  expect(await ending(peer)).toBe(true);
  expect([401, 404, 409]).toContain((await issue(on, claims.jti)).status);
  await using again = await TestPeer.ofProxy(on.at.url, on.proxy.token);
  again.tunnelTo(on.agentId);
  expect(await again.next()).toContain("not yours to reach");
});

test("security R10: a proxy's tunnel ends when its grant is not renewed", async () => {
  await using on = await proxied({ recheckMs: 50 });
  await askForTerminal(on, on.ada.token);
  await using peer = await tunnelOf(on);
  await on.at.server.parts.store.proxyAppGrants.sweep(Number.MAX_SAFE_INTEGER); // as after 16 minutes
  expect(await ending(peer)).toBe(true);
});

test.each<[string, (on: Proxied) => Promise<unknown>]>([
  ["the user logs out", ({ at, ada }) => send(at.url, "POST", "/api/v2/users/logout", { token: ada.token })],
  [
    "the proxy's token is replaced",
    ({ at }) => send(at.url, "PATCH", `${PROXIES}/near`, { token: at.token, body: { regenerate_token: true } }),
  ],
  [
    "its grant is not renewed",
    ({ at }) => at.server.parts.store.proxyAppGrants.sweep(Number.MAX_SAFE_INTEGER), // as after 16 minutes
  ],
])("security R10: the tunnel of a proxy whose control connection was lost ends when %s", async (_name, take) => {
  await using on = await proxied({ recheckMs: 100 });
  await askForTerminal(on, on.ada.token);
  const peer = await tunnelOf(on);
  peer.send({ updateSelf: { node: proxyNode } });
  expect(await on.agent.next()).toMatch(/^node /);
  await peer.connection.close();
  expect(await on.agent.next()).toMatch(/^lost /);
  await take(on);
  expect(await on.agent.next()).toMatch(/^disconnected /);
});

test("security R10: a tunnel that a resumed connection did not request again ends with the right", async () => {
  await using on = await proxied({ recheckMs: 3_600_000 });
  await askForTerminal(on, on.ada.token);
  const first = await tunnelOf(on);
  first.send({ updateSelf: { node: proxyNode } });
  expect(await on.agent.next()).toMatch(/^node /);
  const { token: resume } = await first.connection.rpc.unary(Tailnet.method.refreshResumeToken, {});
  await first.connection.close();
  expect(await on.agent.next()).toMatch(/^lost /);
  await using again = await TestPeer.ofProxy(on.at.url, on.proxy.token, { version: "2.0", resume_token: resume });
  again.send({ updateSelf: { node: proxyNode } });
  await send(on.at.url, "POST", "/api/v2/users/logout", { token: on.ada.token });
  expect(await on.agent.next()).toMatch(/^disconnected /);
});

test("a tunnel stays while another user's terminal depends on it, and the proxy is informed", async () => {
  await using on = await proxied({ recheckMs: 3_600_000 });
  await askForTerminal(on, on.ada.token);
  await askForTerminal(on, on.at.token);
  await using peer = await tunnelOf(on);
  await send(on.at.url, "POST", "/api/v2/users/logout", { token: on.ada.token });
  expect(await peer.next()).toBe(`doubt ${on.agentId}`);
  on.agent.send({ updateSelf: { node: agentNode(on.agentId, 43n) } });
  expect(await peer.next()).toBe(`node ${on.agentId}`);
  await send(on.at.url, "POST", "/api/v2/users/logout", { token: on.at.token });
  expect(await ending(peer)).toBe(true);
});

test.each<[string, (on: Proxied) => Promise<unknown>]>([
  ["a login that ends", ({ at, ada }) => send(at.url, "POST", "/api/v2/users/logout", { token: ada.token })],
  [
    "a change of the workspace's apps",
    ({ at, ada, workspaceId }) =>
      send(at.url, "POST", `/api/v2/workspaces/${workspaceId}/port-share`, {
        token: ada.token,
        body: { agent_name: "main", port: 8080, share_level: "public", protocol: "http" },
      }),
  ],
])(
  "security R10: a proxy is informed of %s while another's right holds, also where other servers looked first",
  async (_name, take) => {
    await using on = await proxied({ recheckMs: 3_600_000 });
    await askForTerminal(on, on.ada.token);
    await askForTerminal(on, on.at.token);
    await using peer = await tunnelOf(on);
    const { grants } = on.at.server.parts.proxyApps;
    // As the look of another server that is done before this one's begins.
    const { concerned } = grants;
    vi.spyOn(grants, "concerned").mockImplementation(async (...args) => {
      await grants.workspaceOf(on.proxy.id, on.agentId);
      return await concerned.apply(grants, args);
    });
    const answer = (await take(on)) as { status: number; text: string };
    expect([answer.text, Math.floor(answer.status / 100)]).toEqual([answer.text, 2]);
    expect(await peer.next()).toBe(`doubt ${on.agentId}`);
  },
);

test("security R20: a new token ends the proxy's control connections, keys and grants", async () => {
  await using on = await proxied();
  const claims = await claimsOf(on, (await askForTerminal(on, on.ada.token)).json.signed_token);
  await using peer = await tunnelOf(on);
  const before = await keysOf(on.at, on.proxy.token);
  const edited = await send(on.at.url, "PATCH", `${PROXIES}/near`, {
    token: on.at.token,
    body: { regenerate_token: true },
  });
  expect(await ending(peer)).toBe(true);
  const token: string = edited.json.proxy_token;
  expect((await issue(on, claims.jti)).status).toBe(401);
  expect((await issue(on, claims.jti, token)).status).toBe(401);
  const after = (await keysOf(on.at, token)).map(({ secret }) => secret);
  expect(before.filter(({ secret }) => after.includes(secret))).toEqual([]);
  await using again = await TestPeer.ofProxy(on.at.url, token);
  again.tunnelTo(on.agentId);
  expect(await again.next()).toContain("not yours to reach");
});
