/** Web apps at a workspace proxy: how a browser signs in to one, and where its session and the proxy's tokens are valid. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { expect, test, vi } from "vitest";
import { proxyOrigins } from "../src/http/dashboard/proxy-origins.ts";
import { addMember, addWorkspace, send } from "./helpers.ts";
import { TestPeer } from "./peers.ts";
import { claimsOf, ending, type Proxied, proxied, read, tunnelOf } from "./proxied.ts";
import { asProxy, createOtherProxy, PROXIES, until } from "./proxies.ts";

const HOST = "8080--main--dev--member.near.test";
const AUTH_REDIRECT = "/api/v2/applications/auth-redirect";
const stateOf = (nonce: string) => createHash("sha256").update(nonce).digest("base64url");

/** The address of the app at the proxy; its port is that of the proxy's access URL. */
const appUrl = ({ process }: Proxied, path = "/", host = HOST) => `http://${host}:${process.port}${path}`;

function decide({ at }: Proxied, token: string | undefined, redirectUri: string, state: string) {
  const query = new URLSearchParams({ redirect_uri: redirectUri, state });
  return send(at.url, "GET", `${AUTH_REDIRECT}?${query}`, token === undefined ? {} : { token });
}

/** The ticket that a browser brings back to the proxy. */
async function ticketFor(on: Proxied, token: string, url = appUrl(on)) {
  const nonce = randomBytes(16).toString("base64url");
  const decided = await decide(on, token, url, stateOf(nonce));
  if (decided.status !== 303) throw new Error(`${decided.status} ${decided.text}`);
  const location = new URL(String(decided.headers["location"]));
  const ticket = location.searchParams.get("coder_application_connect_api_key_35e783") ?? "";
  return { ticket, host: location.hostname, nonce };
}

const redeem = ({ at, proxy }: Proxied, redemption: object, as = proxy.token) =>
  asProxy(at, as, "redeem-app-ticket", redemption);

async function sessionFor(on: Proxied, token: string, url?: string): Promise<string> {
  const redeemed = await redeem(on, await ticketFor(on, token, url));
  if (redeemed.status !== 200) throw new Error(redeemed.text);
  expect(redeemed.json.max_age_seconds).toBe(86_400);
  return redeemed.json.session_id;
}

function issue(
  { at, proxy }: Proxied,
  session: string,
  { host = HOST, as = proxy.token, app_path = "", app_query = "", ...request } = {},
) {
  const app_request = { access_method: "subdomain", base_path: "/", ...request };
  const question = { app_request, app_path, app_query, app_hostname: host, session_token: session };
  return asProxy(at, as, "issue-signed-app-token", question);
}

const PATH_APP = {
  access_method: "path",
  username_or_id: "member",
  workspace_name_or_id: "dev",
  agent_name_or_id: "main",
  app_slug_or_port: "notes",
  host: "127.0.0.1",
};

const declare = ({ at, ada, workspaceId }: Proxied, fields: object = {}) =>
  send(at.url, "POST", `/api/v2/workspaces/${workspaceId}/apps`, {
    token: ada.token,
    body: { slug: "notes", url: "http://127.0.0.1:8081/base", subdomain: false, ...fields },
  });

const share = ({ at, ada, workspaceId }: Proxied, level: string) =>
  send(at.url, "POST", `/api/v2/workspaces/${workspaceId}/port-share`, {
    token: ada.token,
    body: { agent_name: "main", port: 8080, share_level: level, identity_headers: true },
  });

test("a logged-in browser gets a session for one host, for which the proxy gets tokens", async () => {
  await using on = await proxied();
  await share(on, "authenticated");
  const session = await sessionFor(on, on.ada.token, appUrl(on, "/a%2Fb?x=1"));
  const issued = await issue(on, session);
  expect(issued.status).toBe(201);
  const claims = await claimsOf(on, issued.json.signed_token_str);
  expect(claims).toMatchObject({
    access_method: "subdomain",
    app_slug_or_port: "8080",
    username_or_id: "member",
    user_id: on.ada.id,
    app_url: "http://127.0.0.1:8080",
    grant: {
      target: { agent_id: on.agentId, port: 8080, level: "authenticated", identity_headers: true },
      visitor: { username: "member", email: "member@example.com" },
      state: "running",
      ends_at: expect.any(Number),
    },
  });
  await using peer = await tunnelOf(on);
  peer.tunnelTo(on.agentId);
  // A token in a header is accepted as well, and an invalid one is refused.
  expect((await issue(on, on.ada.token)).status).toBe(201);
  expect((await issue(on, `${"a".repeat(10)}-${"b".repeat(22)}`)).status).toBe(401);
});

test.each([
  ["127.0.0.1", "127.0.0.1"],
  ["::1", "[::1]"],
])("an app below a path uses a session of the proxy's own host, at %s", async (address, host) => {
  await using on = await proxied({}, {}, address);
  expect((await declare(on)).status).toBe(201);
  const url = `${on.process.url}/@member/dev.main/apps/notes/`;
  const session = await sessionFor(on, on.ada.token, url);
  const app = { ...PATH_APP, host };
  const issued = await issue(on, session, app);
  expect(issued.status).toBe(201);
  expect(await claimsOf(on, issued.json.signed_token_str)).toMatchObject({
    access_method: "path",
    app_slug_or_port: "notes",
    app_url: "http://127.0.0.1:8081/base",
  });
  const anonymous = await issue(on, "", app);
  expect([anonymous.status, anonymous.headers["coder-app-login"]]).toEqual([401, url]);
  // Only the owner may use it, whatever its level.
  const bob = await addMember(on.at.url, on.at.token, "bob");
  expect((await decide(on, bob.token, url, stateOf("x"))).status).toBe(404);
  expect((await issue(on, session)).status).toBe(401);
});

test("security R17: a session at a proxy's host is not accepted at another host, at another proxy or at the primary", async () => {
  await using on = await proxied();
  const session = await sessionFor(on, on.ada.token);
  expect((await issue(on, session, { host: "8081--main--dev--member.near.test" })).status).toBe(401);
  expect((await issue(on, session, { host: `p---${HOST}` })).status).toBe(401);
  // Nor is the session of the proxy's own host, at any path, valid at the host of an app.
  expect((await declare(on)).status).toBe(201);
  const below = await sessionFor(on, on.ada.token, `${on.process.url}/@member/dev.main/apps/notes/`);
  expect((await issue(on, below, PATH_APP)).status).toBe(201);
  expect([(await issue(on, below)).status, (await issue(on, session, PATH_APP)).status]).toEqual([401, 401]);
  const other = await createOtherProxy(on.at, "far");
  const { store } = on.at.server.parts;
  await store.workspaceProxies.update(other.id, { url: "http://127.0.0.2", wildcard_hostname: "*.near.test" });
  expect((await issue(on, session, { as: other.token })).status).toBe(401);
  const me = { headers: { Cookie: `coder_app_session=${session}; coder_session_token=${session}` } };
  expect((await send(on.at.url, "GET", "/api/v2/users/me", me)).status).toBe(401);
  const { signed_token_str: text } = (await issue(on, session)).json;
  expect(await read(on, text, other)).toEqual({ refused: "signature" });
  expect((await issue(on, session, { host: HOST.replace("near.test", "far.test") })).status).toBe(400);
});

test("security R20: a new token of the proxy ends the sessions at its hosts", async () => {
  await using on = await proxied();
  const session = await sessionFor(on, on.ada.token);
  expect((await issue(on, session)).status).toBe(201);
  const edited = await send(on.at.url, "PATCH", `${PROXIES}/near`, {
    token: on.at.token,
    body: { regenerate_token: true },
  });
  const as: string = edited.json.proxy_token;
  expect((await issue(on, session, { as })).status).toBe(401);
  expect((await issue(on, on.ada.token, { as })).status).toBe(201);
});

test("security S10: a used ticket does not become valid again after many later sessions", async () => {
  await using on = await proxied();
  const { store } = on.at.server.parts;
  const redemption = await ticketFor(on, on.ada.token);
  expect((await redeem(on, redemption)).status).toBe(200);
  const [keyId = ""] = await store.apiKeys.ids(on.ada.id);
  const now = Date.now();
  for (let count = 0; count < 300; count++)
    await store.transaction(({ appSessions }) =>
      appSessions.insert(
        { id_hash: `h${count}`, key_id: keyId, user_id: on.ada.id, host: "x", created_at: now, expires_at: now + 1e6 },
        256,
        60_000,
      ),
    );
  expect((await redeem(on, redemption)).status).toBe(400);
});

test("security S10: a ticket for a proxy's host works once, at that host and proxy, and for that browser", async () => {
  await using on = await proxied();
  const other = await createOtherProxy(on.at, "far");
  const redemption = await ticketFor(on, on.ada.token);
  expect((await redeem(on, redemption, other.token)).status).toBe(400);
  expect((await redeem(on, { ...redemption, host: `p---${HOST}` })).status).toBe(400);
  expect((await redeem(on, { ...redemption, nonce: "x" })).status).toBe(400);
  const race = await Promise.all(Array.from({ length: 10 }, () => redeem(on, redemption)));
  expect(race.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(400)]);
  const late = await ticketFor(on, on.ada.token);
  await send(on.at.url, "POST", "/api/v2/users/logout", { token: on.ada.token });
  expect((await redeem(on, late)).status).toBe(400);
});

test("security S11: a sign-in leads only to hosts of proxies that serve apps and are healthy", async () => {
  await using on = await proxied();
  const state = stateOf("x");
  const ask = async (url: string) => (await decide(on, on.ada.token, url, state)).status;
  expect(await ask(appUrl(on))).toBe(303);
  expect((await decide(on, on.ada.token, appUrl(on), "short")).status).toBe(400);
  for (const url of [
    appUrl(on, "/", "8080--main--dev--member.far.test"),
    appUrl(on, "/", "member.near.test"),
    appUrl(on, "/", `x.${HOST}`),
    `http://${HOST}/`,
    `https://${HOST}:${on.process.port}/`,
    `http://member@${HOST}:${on.process.port}/`,
    `${on.process.url}/`,
    `${on.process.url}/@member/dev/apps/8080/`,
  ])
    expect([url, await ask(url)]).toEqual([url, 400]);
  const missing = await decide(on, on.ada.token, appUrl(on, "/", "8080--main--none--member.near.test"), state);
  const bob = await addMember(on.at.url, on.at.token, "bob");
  const denied = await decide(on, bob.token, appUrl(on), state);
  expect([missing.status, missing.text]).toEqual([404, denied.text]);
  const stranger = await decide(on, undefined, appUrl(on), state);
  expect([stranger.status, String(stranger.headers["location"])]).toEqual([303, expect.stringMatching(/^\/login\?/)]);

  on.process.status = 500;
  const { directory } = on.at.server.parts.proxies;
  await until(on.at, () => directory.inMap.length === 0);
  expect(await ask(appUrl(on))).not.toBe(303);
});

test("a sign-in at a proxy also signs in to the apps declared beside the app, one after the other", async () => {
  await using on = await proxied();
  const names = { agent_name: "main", share_level: "authenticated" };
  const share = (body: object) =>
    send(on.at.url, "POST", `/api/v2/workspaces/${on.workspaceId}/port-share`, {
      token: on.ada.token,
      body: { ...names, ...body },
    });
  expect((await share({ port: 8080, also: ["8081", "8082", "nothing"] })).status).toBe(200);
  const host = (port: number) => HOST.replace("8080", String(port));
  const at = (port: number, path: string) => appUrl(on, path, host(port));
  /** Visits a host like a browser: brings the ticket, and the target at which it continues. */
  const visit = async (url: string, token = on.ada.token) => {
    const { pathname, search } = new URL(url);
    return await redeem(on, { ...(await ticketFor(on, token, url)), target: pathname + search });
  };
  const begun = (await visit(at(8080, "/page?a=%2F"))).json;
  expect(begun.next).toMatch(new RegExp(`^${at(8081, "/.coder/chain/")}[\\w-]+$`));
  const second = (await visit(begun.next)).json;
  expect(second.next).toMatch(new RegExp(`^${at(8082, "/.coder/chain/")}[\\w-]+$`));
  const last = (await visit(second.next)).json;
  expect(last.next).toBe(at(8080, "/page?a=%2F"));
  for (const [port, { session_id }] of [
    [8080, begun],
    [8081, second],
    [8082, last],
  ] as const)
    expect([port, (await issue(on, session_id, { host: host(port) })).status]).toEqual([port, 201]);
  // A proxy that does not say where the browser continues does not support chains.
  expect((await redeem(on, await ticketFor(on, on.ada.token))).json.next).toBeUndefined();

  // A chain is valid for one user, at its host.
  const state = stateOf("x");
  const bob = await addMember(on.at.url, on.at.token, "bob");
  await send(on.at.url, "PUT", "/api/v2/users/bob/roles", { token: on.at.token, body: { roles: ["owner"] } });
  expect((await decide(on, bob.token, begun.next, state)).status).toBe(404);
  expect((await decide(on, on.ada.token, begun.next.replace("8081--", "8082--"), state)).status).toBe(404);
  expect((await decide(on, on.ada.token, begun.next, state)).status).toBe(303);
});

test("a sign-in at a proxy skips apps that the proxy may not serve to the visitor", async () => {
  await using on = await proxied({}, { "wildcard-access-url": "*.apps.test" });
  const other = await addWorkspace(on.at.url, on.ada.token, "other");
  const declared = await send(on.at.url, "POST", `/api/v2/workspaces/${on.workspaceId}/port-share`, {
    token: on.ada.token,
    body: { agent_name: "main", port: 8080, share_level: "authenticated", also: ["8081"] },
  });
  expect([declared.status, other.name]).toEqual([200, "other"]);
  const url = appUrl(on);
  const visited = await redeem(on, { ...(await ticketFor(on, on.ada.token, url)), target: "/" });
  expect(visited.json.next).toContain("8081--");
  // From here on the proxy may not serve the workspace's terminals, and so not its apps either.
  const late = { ...(await ticketFor(on, on.ada.token, url)), target: "/" };
  await send(on.at.url, "PUT", `/api/v2/workspaces/${on.workspaceId}/connection-policy`, {
    token: on.at.token,
    body: { require_e2e: true },
  });
  const answer = await redeem(on, late);
  expect([answer.status, answer.json.next]).toEqual([200, undefined]);
});

test("if the deployment serves no apps below paths, its proxies serve none", async () => {
  await using on = await proxied({}, { "disable-path-apps": "true" });
  expect((await declare(on)).status).toBe(201);
  const url = `${on.process.url}/@member/dev.main/apps/notes/`;
  const answers = [
    await decide(on, on.ada.token, url, stateOf("x")),
    await issue(on, "", PATH_APP),
    await issue(on, on.ada.token, PATH_APP),
  ];
  expect(answers.map(({ status, text }) => [status, text.includes("--disable-path-apps")])).toEqual(
    answers.map(() => [403, true]),
  );
});

test("security R18: below a path as well, a proxy serves only visitors who may have a shell there", async () => {
  await using on = await proxied({}, { "dangerous-allow-path-app-sharing": "true" });
  expect((await declare(on, { sharing_level: "authenticated" })).status).toBe(201);
  const bob = await addMember(on.at.url, on.at.token, "bob");
  const path = "/@member/dev.main/apps/notes/a?x=1";
  const elsewhere = await issue(on, bob.token, { ...PATH_APP, app_path: path.split("?")[0]!, app_query: "x=1" });
  expect([elsewhere.status, elsewhere.headers["location"]]).toEqual([
    303,
    `http://coder.localhost:${on.at.port}${path}`,
  ]);
  const signIn = await decide(on, bob.token, `${on.process.url}${path}`, stateOf("x"));
  expect([signIn.status, signIn.headers["location"]]).toEqual([303, `http://coder.localhost:${on.at.port}${path}`]);
  await using peer = await TestPeer.ofProxy(on.at.url, on.proxy.token);
  peer.tunnelTo(on.agentId);
  expect(await peer.next()).toContain("not yours to reach");
});

test("a visitor without a session does not learn whether an app exists", async () => {
  await using on = await proxied();
  const [owned, missing] = await Promise.all([
    issue(on, ""),
    issue(on, "", { host: "8080--main--none--member.near.test" }),
  ]);
  expect([owned.status, missing.status]).toEqual([401, 401]);
  expect(owned.headers["coder-app-login"]).toBe(appUrl(on));
});

test("security R18: a proxy serves apps only to visitors who may have a shell there; others get them at the deployment", async () => {
  await using on = await proxied({}, { "wildcard-access-url": "*.apps.test" });
  const own = `http://8080--main--dev--member.apps.test:${on.at.port}`;
  const bob = await addMember(on.at.url, on.at.token, "bob");
  const target = { app_path: "/a%2Fb", app_query: "x=1" };
  const ofTunnel = async () => {
    await using peer = await TestPeer.ofProxy(on.at.url, on.proxy.token);
    peer.tunnelTo(on.agentId);
    return await peer.next();
  };
  await share(on, "authenticated");
  const signIn = await decide(on, bob.token, appUrl(on, "/a%2Fb?x=1"), stateOf("x"));
  expect([signIn.status, signIn.headers["location"]]).toEqual([303, `${own}/a%2Fb?x=1`]);
  const shared = await issue(on, bob.token, target);
  expect([shared.status, shared.headers["location"]]).toEqual([303, `${own}/a%2Fb?x=1`]);

  await share(on, "public");
  const anonymous = await issue(on, "", { app_path: "/a b" });
  expect([anonymous.status, anonymous.headers["location"]]).toEqual([303, `${own}/`]);
  expect(await ofTunnel()).toContain("not yours to reach");

  // The owner's API token that is valid only for apps opens no terminal.
  const forApps = await send(on.at.url, "POST", `/api/v2/users/${on.ada.id}/keys/tokens`, {
    token: on.ada.token,
    body: { scope: "application_connect", lifetime: 3_600_000_000_000, token_name: "apps" },
  });
  expect(forApps.status).toBe(201);
  expect((await issue(on, forApps.json.key, target)).status).toBe(303);
  expect(await ofTunnel()).toContain("not yours to reach");

  // The same applies to a workspace whose terminals the server may not read.
  expect((await issue(on, on.ada.token)).status).toBe(201);
  await send(on.at.url, "PUT", `/api/v2/workspaces/${on.workspaceId}/connection-policy`, {
    token: on.at.token,
    body: { require_e2e: true },
  });
  expect((await issue(on, on.ada.token)).status).toBe(303);
  expect(await ofTunnel()).toContain("not yours to reach");
});

test("if the deployment has no host for apps, a visitor who may have no shell gets no app", async () => {
  await using on = await proxied();
  await share(on, "public");
  const bob = await addMember(on.at.url, on.at.token, "bob");
  const answers = [
    await issue(on, ""),
    await issue(on, bob.token),
    await decide(on, bob.token, appUrl(on), stateOf("x")),
  ];
  expect(answers.map(({ status, json }) => [status, json?.message])).toEqual(
    answers.map(() => [404, "Application Not Found"]),
  );
});

test.each<[string, (on: Proxied) => Promise<unknown>]>([
  [
    "the visitor is no longer an owner of the deployment",
    ({ at }) => send(at.url, "PUT", "/api/v2/users/bob/roles", { token: at.token, body: { roles: [] } }),
  ],
  [
    "the visitor's account is suspended",
    ({ at }) => send(at.url, "PUT", "/api/v2/users/bob/status/suspend", { token: at.token }),
  ],
  [
    "the workspace is stopped",
    ({ at, ada, workspaceId }) =>
      send(at.url, "POST", `/api/v2/workspaces/${workspaceId}/builds`, {
        token: ada.token,
        body: { transition: "stop" },
      }),
  ],
])("security R10: a proxy's tunnel for an app ends when %s", async (_name, take) => {
  await using on = await proxied({ recheckMs: 3_600_000 });
  const bob = await addMember(on.at.url, on.at.token, "bob");
  await send(on.at.url, "PUT", "/api/v2/users/bob/roles", { token: on.at.token, body: { roles: ["owner"] } });
  const session = await sessionFor(on, bob.token);
  expect((await issue(on, session)).status).toBe(201);
  await using peer = await tunnelOf(on);
  const answer = (await take(on)) as { status: number; text: string };
  expect([answer.text, Math.floor(answer.status / 100)]).toEqual([answer.text, 2]);
  expect(await ending(peer)).toBe(true);
});

test("a browser gets a page, and a program JSON", async () => {
  await using on = await proxied();
  const bob = await addMember(on.at.url, on.at.token, "bob");
  const question = { app_request: { access_method: "subdomain" }, app_hostname: HOST, session_token: bob.token };
  const ask = (accept: string) =>
    send(on.at.url, "POST", `${PROXIES}/me/issue-signed-app-token`, {
      body: question,
      headers: { "Coder-External-Proxy-Token": on.proxy.token, Accept: accept },
    });
  const [page, json] = [await ask("text/html,*/*"), await ask("application/json")];
  expect([page.status, json.status]).toEqual([404, 404]);
  expect(page.text).toContain("<title>Application Not Found</title>");
  expect(json.json).toMatchObject({ message: "Application Not Found" });
});

test("uses that a proxy reports count only for workspaces that it serves to that user", async () => {
  await using on = await proxied();
  const { store, metrics } = on.at.server.parts;
  const used = async () => (await store.workspaces.byId(on.workspaceId))?.last_used_at;
  const before = await used();
  const at = new Date().toISOString();
  const use = {
    user_id: on.ada.id,
    workspace_id: on.workspaceId,
    agent_id: on.agentId,
    access_method: "subdomain",
    slug_or_port: "8080",
    session_id: randomUUID(),
    session_started_at: at,
    session_ended_at: at,
    requests: 3,
  };
  const report = (...stats: object[]) => asProxy(on.at, on.proxy.token, "app-stats", { stats });
  expect((await report(use)).status).toBe(204);
  expect(await used()).toBe(before);
  expect((await issue(on, await sessionFor(on, on.ada.token))).status).toBe(201);
  await vi.waitFor(async () => expect(await used()).not.toBe(before), 30_000); // Issuing a token counts as a use as well.
  expect((await report(use, { ...use, user_id: randomUUID() }, { ...use, workspace_id: randomUUID() })).status).toBe(
    204,
  );
  const counted = await metrics.registry.metrics();
  expect(counted).toContain('coder_wsproxy_app_uses_total{access_method="subdomain",counted="true"} 1');
  expect(counted).toContain('coder_wsproxy_app_uses_total{access_method="subdomain",counted="false"} 3');
  expect((await report({ ...use, requests: -1 })).status).toBe(400);
});

test("pages of the dashboard may connect to proxies that serve apps", () => {
  expect(proxyOrigins([{ url: "https://near.example.com" }])).toEqual([
    "https://near.example.com",
    "wss://near.example.com",
  ]);
});
