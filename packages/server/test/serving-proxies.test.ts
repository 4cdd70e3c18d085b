/** Which workspace proxies may serve apps and terminals, and at which addresses. */
import { createHash } from "node:crypto";
import {
  PROXY_COORDINATE_PATH,
  PROXY_CRYPTO_KEYS_PATH,
  PROXY_ISSUE_APP_TOKEN_PATH,
  PROXY_REDEEM_TICKET_PATH,
  PTY_SIGNED_TOKEN_PATH,
} from "coder-protocol/rest/proxy-apps";
import { PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import { expect, onTestFinished, test, vi } from "vitest";
import { openSocket, send } from "./helpers.ts";
import { type Proxied, proxied, tunnelOf } from "./proxied.ts";
import { asProxy, createProxy, type Deployment, FakeProxy, PROXIES, proxyDeployment, until } from "./proxies.ts";

const edit = (at: Deployment, body: object, name = "near") =>
  send(at.url, "PATCH", `${PROXIES}/${name}`, { token: at.token, body });

const near = async (at: Deployment) => (await send(at.url, "GET", `${PROXIES}/near`, { token: at.token })).json;

/** The requests that a proxy sends, each with its status. */
async function asked(at: Deployment, token: string): Promise<number[]> {
  const headers = { [PROXY_TOKEN_HEADER]: token };
  const [keys, issued, redeemed, socket] = await Promise.all([
    send(at.url, "GET", `${PROXY_CRYPTO_KEYS_PATH}?feature=workspace_apps_token`, { headers }),
    send(at.url, "POST", PROXY_ISSUE_APP_TOKEN_PATH, {
      headers,
      body: { app_request: { access_method: "subdomain" }, app_hostname: "x.none.test" },
    }),
    send(at.url, "POST", PROXY_REDEEM_TICKET_PATH, { headers, body: { ticket: "x", host: "x", nonce: "x" } }),
    openSocket(at.url, `${PROXY_COORDINATE_PATH}?version=1.0`, headers), // a version that no proxy may use
  ]);
  return [keys.status, issued.status, redeemed.status, "status" in socket ? socket.status : 101];
}

const REFUSED = [403, 403, 403, 403];
const SERVED = [200, 400, 400, 400];

function terminal({ at, process, ada, agentId }: Proxied, port = process.port) {
  const url = `ws://127.0.0.1:${port}/api/v2/workspaceagents/${agentId}/pty`;
  return send(at.url, "POST", PTY_SIGNED_TOKEN_PATH, { token: ada.token, body: { url, agentID: agentId } });
}

function signIn({ at, ada }: Proxied, port: number) {
  const state = createHash("sha256").update("x").digest("base64url");
  const query = new URLSearchParams({
    redirect_uri: `http://8080--main--dev--member.near.test:${port}/`,
    state,
  });
  return send(at.url, "GET", `/api/v2/applications/auth-redirect?${query}`, { token: ada.token });
}

/** Simulates five minutes without an answer. */
const forgetHealth = ({ at, proxy }: Proxied) =>
  at.server.parts.store.workspaceProxies.update(proxy.id, { health: "", in_map: 0 });

/**
 * The proxy itself changes its address to that of another process. If a check in between finds the known address healthy, the
 * change is refused.
 */
const takesAddress = (on: Proxied, elsewhere: FakeProxy) =>
  vi.waitFor(async () => {
    await forgetHealth(on);
    const stated = { derp_only: false, wildcard_hostname: "*.near.test" };
    expect((await elsewhere.register(on.at, on.proxy.token, stated)).status).toBe(201);
  }, 30_000);

test("security R18: the token of a proxy that only relays gives no access to apps and terminals", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  expect(await asked(at, token)).toEqual(REFUSED); // it has not registered
  await process.register(at, token);
  expect(await asked(at, token)).toEqual(REFUSED);

  // Nor does a statement of another process, or of this one, change that.
  await using second = await FakeProxy.start();
  const stated = await asProxy(at, token, "register", {
    ...second.registration({ derp_only: false }),
    access_url: process.url,
  });
  expect(stated.status).toBe(201);
  expect(await near(at)).toMatchObject({ derp_only: true });
  await process.register(at, token, { derp_only: false });
  expect(await near(at)).toMatchObject({ derp_only: false });
  expect(await asked(at, token)).toEqual(REFUSED);
  expect((await near(at)).status.report.warnings).toEqual([expect.stringContaining("coder wsproxy edit")]);

  expect((await edit(at, { access_url: process.url })).status).toBe(200);
  expect((await near(at)).status.report.warnings).toEqual([]);
  await process.register(at, token, { derp_only: false });
  expect(await asked(at, token)).toEqual(SERVED);
});

test("security R19: a proxy that changes its own address serves no apps until an owner confirms it", async () => {
  await using on = await proxied();
  await using elsewhere = await FakeProxy.start();
  const { at, proxy } = on;
  const { directory } = at.server.parts.proxies;
  const isWell = () => directory.inMap.some(({ url }) => url === elsewhere.url);
  expect([(await terminal(on)).status, (await signIn(on, on.process.port)).status]).toEqual([200, 303]);
  await using peer = await tunnelOf(on);

  await takesAddress(on, elsewhere);
  await until(at, isWell);
  expect((await terminal(on, elsewhere.port)).status).toBe(403);
  expect((await signIn(on, elsewhere.port)).status).not.toBe(303);
  expect(await asked(at, proxy.token)).toEqual(REFUSED);
  expect(await at.server.parts.proxyApps.grants.workspaceOf(proxy.id, on.agentId)).toBeUndefined();
  expect(at.log.text).toContain("changed without an owner");
  await peer.connection.close();

  // If an owner sets only a part of an address, it is unknown whether the owner has seen the rest.
  await edit(at, { access_url: elsewhere.url });
  expect(await asked(at, proxy.token)).toEqual(REFUSED);
  await edit(at, { access_url: elsewhere.url, wildcard_hostname: "*.near.test" });
  expect(await asked(at, proxy.token)).toEqual(SERVED);
  await until(at, isWell);
  expect([(await terminal(on, elsewhere.port)).status, (await signIn(on, elsewhere.port)).status]).toEqual([200, 303]);
});

test("security R19: what an unconfirmed proxy has open ends by a marked refusal, and browsers are not sent there", async () => {
  await using on = await proxied();
  await using elsewhere = await FakeProxy.start();
  const { at, proxy, ada } = on;
  const region = async () => {
    const { regions } = (await send(at.url, "GET", "/api/v2/regions", { token: ada.token })).json;
    return regions.find(({ name }: { name: string }) => name === "near");
  };
  const { signed_token: token } = (await terminal(on)).json;
  const jti = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString()).jti;
  const renew = () =>
    asProxy(at, proxy.token, "issue-signed-app-token", {
      app_request: { access_method: "terminal", agent_name_or_id: on.agentId },
      session_token: jti,
    });
  expect([(await renew()).status, (await region()).healthy]).toEqual([201, true]);
  await takesAddress(on, elsewhere);
  await until(at, () => at.server.parts.proxies.directory.inMap.some(({ url }) => url === elsewhere.url));
  const refused = await renew();
  expect([refused.status, refused.headers["coder-app-refusal"]]).toEqual([403, "1"]);
  expect(await region()).toMatchObject({ path_app_url: elsewhere.url, healthy: false });
});

test("a region states that apps are served below paths only if all of the proxy's processes serve them", async () => {
  await using on = await proxied();
  const { at, proxy, process } = on;
  const second = await FakeProxy.start();
  onTestFinished(() => second[Symbol.asyncDispose]());
  const stated = { derp_only: false, wildcard_hostname: "*.near.test" };
  const served = async () =>
    (await send(at.url, "GET", "/api/v2/regions", { token: at.token })).json.regions.map(
      ({ path_apps }: { path_apps: boolean }) => path_apps,
    );
  expect(await served()).toEqual([true, false]);
  await process.register(at, proxy.token, { ...stated, path_apps: true });
  expect(await served()).toEqual([true, true]);
  const other = { ...second.registration(), ...stated, access_url: process.url };
  await asProxy(at, proxy.token, "register", other);
  expect(await served()).toEqual([true, false]);
  await asProxy(at, proxy.token, "register", { ...other, path_apps: true });
  expect(await served()).toEqual([true, true]);
});

test("security R19: a proxy cannot take the address of another proxy or of the deployment", async () => {
  await using at = await proxyDeployment({ "wildcard-access-url": "*.apps.test" });
  await using one = await FakeProxy.start();
  await using other = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  const thief = await createProxy(at, "a-far");
  const wildcard = (pattern: string) => ({ derp_only: false, wildcard_hostname: pattern });
  expect((await one.register(at, token, wildcard("*.near.test"))).status).toBe(201);

  const { regions } = (await send(at.url, "GET", "/api/v2/regions", { token: at.token })).json;
  const own: string = regions[0].path_app_url;
  const taken = { ...other.registration(), access_url: one.url };
  expect((await asProxy(at, thief.token, "register", taken)).status).toBe(409);
  expect((await asProxy(at, thief.token, "register", { ...taken, access_url: own })).status).toBe(409);
  for (const pattern of ["*.near.test", "*.near.test:444", "*-a.near.test", "*.apps.test", "*-x.apps.test"])
    expect([pattern, (await other.register(at, thief.token, wildcard(pattern))).status]).toEqual([pattern, 409]);
  expect((await edit(at, { access_url: one.url }, "a-far")).status).toBe(409);
  expect((await edit(at, { wildcard_hostname: "*-b.near.test" }, "a-far")).status).toBe(409);

  // A host name of two labels does not match the star, which stands for one label.
  expect((await other.register(at, thief.token, wildcard("*.far.near.test"))).status).toBe(201);
  expect((await one.register(at, token, wildcard("*.near.test"))).status).toBe(201);
});

test("of two proxies at one address, which an earlier release allowed, neither gets terminals or tickets", async () => {
  await using on = await proxied();
  const { store, proxies } = on.at.server.parts;
  const other = await createProxy(on.at, "a-far");
  const row = await store.workspaceProxies.byId(on.proxy.id);
  const { url = "", wildcard_hostname = "", health = "" } = row ?? {};
  // Whether both are healthy, or only one.
  for (const known of [health, ""]) {
    await store.workspaceProxies.update(other.id, { url, wildcard_hostname, health: known });
    await proxies.directory.changed();
    expect((await terminal(on)).status).toBe(400);
    expect((await signIn(on, on.process.port)).status).not.toBe(303);
  }
});
