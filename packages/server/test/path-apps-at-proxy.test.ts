/** Web apps below paths of a workspace proxy's own host, with a scripted primary and a real program. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type IssueAppTokenRequest, SIGNED_APP_TOKEN_PARAMETER } from "coder-protocol/rest/proxy-apps";
import { expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { stateOf } from "../src/apps/tickets.ts";
import type { AppTokenFacts } from "../src/base/app-token.ts";
import { AGENT_ID, factsOf, type Refusal } from "./fake-primary-apps.ts";
import { openSocket } from "./helpers.ts";
import { COOKIE, SESSION, SIGN_IN, startProxy, TARGET } from "./proxy-of-apps.ts";

const BASE = "/@ada/dev.main/apps/code";
const HOST = { Host: "proxy.example" };
const SIGNED_IN = { ...HOST, ...COOKIE };

const granted = (grant: Parameters<typeof factsOf>[1] = {}): AppTokenFacts =>
  factsOf({ access_method: "path" }, { target: TARGET, ...grant });

const toAda = ({ session_token }: IssueAppTokenRequest): AppTokenFacts | Refusal =>
  session_token === SESSION ? granted() : SIGN_IN;

function echo(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader("Set-Cookie", ["own=1; Path=/", "coder_app_session=evil", "csrf_token=evil"]);
  response.setHeader("Service-Worker-Allowed", "/");
  response.end(JSON.stringify({ url: request.url, cookie: request.headers.cookie ?? "" }));
}

/** Starts a proxy without a wildcard, so that apps below paths are enabled by default. */
const start = (program = echo, flags: Record<string, string> = {}) =>
  startProxy(program, { "wildcard-access-url": "", ...flags });

test("a visitor with a session of the proxy's host reaches the app that the path names", async () => {
  const at = await start();
  at.apps.issue = toAda;
  const urlOf = async (path: string) => JSON.parse((await at.ask(path, SIGNED_IN)).text).url;
  expect(await urlOf(`${BASE}/a/../%2e%2e//b%2Fc;d?x=%00&coder_session_token=x`)).toBe("/a/../%2e%2e//b%2Fc;d?x=%00");
  expect(await urlOf(`${BASE}/`)).toBe("/");
  expect(at.dialled[0]).toEqual({ agentId: AGENT_ID, port: 8080 });
  expect(at.apps.requests).toMatchObject([
    {
      app_request: {
        access_method: "path",
        base_path: `${BASE}/`,
        username_or_id: "ada",
        workspace_name_or_id: "dev",
        agent_name_or_id: "main",
        app_slug_or_port: "code",
      },
      app_hostname: "proxy.example",
      path_app_base_url: "http://proxy.example",
      session_token: SESSION,
    },
  ]);
  const moved = await at.ask(`${BASE}?folder=/x`, SIGNED_IN);
  expect([moved.status, moved.headers.location]).toEqual([307, `${BASE}/?folder=/x`]);
  expect((await at.ask("/healthz", SIGNED_IN)).text).toBe("OK");
  expect(at.primary.statements[0]).toMatchObject({ path_apps: true, wildcard_hostname: "" });
  expect(at.primary.faults).toEqual([]);
});

test("security R17: a right that the primary granted for one app is not accepted for another one of the same host", async () => {
  const at = await start();
  at.apps.issue = ({ app_request: { app_slug_or_port, workspace_name_or_id } }) =>
    app_slug_or_port === "code" && workspace_name_or_id === "dev" ? granted() : { status: 404, body: "{}" };
  expect((await at.ask(`${BASE}/`, SIGNED_IN)).status).toBe(200);
  for (const path of ["/@ada/dev.main/apps/other/", "/@ada/elsewhere.main/apps/code/"])
    expect([path, (await at.ask(path, SIGNED_IN)).status]).toEqual([path, 404]);
  expect((await at.ask(`${BASE}/`, SIGNED_IN)).status).toBe(200);
  expect(at.apps.requests).toHaveLength(3);
});

test.each(["proxy.example", "[::1]:7080"])(
  "a person without a session signs in at the primary and comes back to the path, at %s",
  async (host) => {
    const at = await start(echo, { "access-url": `http://${host}` });
    at.apps.issue = toAda;
    const navigation = { Host: host, "Sec-Fetch-Mode": "navigate", Accept: "text/html" };
    const away = await at.ask(`${BASE}/a?b=c`, navigation);
    expect(away.status).toBe(303);
    const to = new URL(away.headers.location!);
    expect([to.origin, to.pathname]).toEqual([at.primary.url, "/api/v2/applications/auth-redirect"]);
    expect(to.searchParams.get("redirect_uri")).toBe(`http://${host}${BASE}/a?b=c`);
    const nonce = /^coder_app_state=([^;]+); Path=\/; HttpOnly; SameSite=Lax/.exec(
      away.headers["set-cookie"]![0]!,
    )![1]!;
    expect(to.searchParams.get("state")).toBe(stateOf(nonce));
    const redeemed: unknown[] = [];
    at.apps.redeem = (request) => {
      redeemed.push(request);
      return SESSION;
    };
    const back = await at.ask(`${BASE}/a?b=c&coder_application_connect_api_key_35e783=good`, {
      ...navigation,
      Cookie: `coder_app_state=${nonce}`,
    });
    expect([back.status, back.headers.location]).toEqual([303, `http://${host}${BASE}/a?b=c`]);
    expect(back.headers["set-cookie"]![0]).toBe(
      `coder_app_session=${SESSION}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400`,
    );
    expect(redeemed).toEqual([{ ticket: "good", host: host.replace(":7080", ""), nonce, target: `${BASE}/a?b=c` }]);
    const program = await at.ask(`${BASE}/x`, { Host: host });
    expect([program.status, program.headers["coder-app-login"]]).toEqual([401, `http://${host}${BASE}/`]);
  },
);

test("refusals and redirects of the primary are passed on unchanged", async () => {
  const at = await start();
  const own = `http://coder.example${BASE}/`;
  at.apps.issue = () => ({ status: 303, headers: { Location: own }, body: "" });
  expect(await at.ask(`${BASE}/`, SIGNED_IN)).toMatchObject({ status: 303, headers: { location: own } });
});

test.each<[string, number]>([
  ["/@me/dev/apps/code/", 404],
  ["/@ada/dev/apps/3000/", 404],
  ["/@ada/dev/apps/8443s", 404],
  ["/@ada/%2e%2e/apps/code/", 400],
  ["/@ada/dev/apps/code%2f..%2fx/", 400],
])("security S19: %s answers %i at a proxy, and the primary is not asked", async (path, status) => {
  const at = await start();
  at.apps.issue = () => granted();
  expect((await at.ask(path, SIGNED_IN)).status).toBe(status);
  expect(at.apps.requests).toEqual([]);
});

test("security S4, S26: cookies of the deployment pass in neither direction at a proxy, and no worker is registered", async () => {
  const at = await start();
  at.apps.issue = toAda;
  const cookies = `${COOKIE.Cookie}; a=b; coder_session_token=x; csrf_token=y; __Host-coder_app_session=z`;
  const answer = await at.ask(`${BASE}/`, { ...HOST, Cookie: cookies });
  expect(JSON.parse(answer.text).cookie).toBe("a=b");
  expect(answer.headers["set-cookie"]).toEqual(["own=1; Path=/"]);
  expect(answer.headers).not.toHaveProperty("service-worker-allowed");
  expect((await at.ask(`${BASE}/sw.js`, { ...SIGNED_IN, "Service-Worker": "script" })).status).toBe(403);
});

test("security S7: pages of other origins use a path app at a proxy anonymously", async () => {
  const at = await start();
  at.apps.issue = toAda;
  const status = async (headers: Record<string, string>, method = "GET") =>
    (await at.ask(`${BASE}/`, { ...SIGNED_IN, ...headers }, method)).status;
  expect(await status({ "Sec-Fetch-Site": "same-origin" }, "POST")).toBe(200);
  expect(await status({ Origin: "http://proxy.example" }, "POST")).toBe(200);
  expect(await status({ Origin: "http://evil.example" }, "POST")).toBe(401);
  expect(await status({ "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors" })).toBe(401);
  expect(await status({ Origin: "http://evil.example", "Access-Control-Request-Method": "POST" }, "OPTIONS")).toBe(403);
});

test("a page of an app below a path opens no terminal, whatever token it found", async () => {
  const terminal = `/api/v2/workspaceagents/${AGENT_ID}/pty?reconnect=${randomUUID()}&${SIGNED_APP_TOKEN_PARAMETER}=`;
  for (const [wildcard, status] of [
    ["", 403],
    ["*.near.example", 401],
  ] as const) {
    const at = await start(echo, { "wildcard-access-url": wildcard });
    const refused = await openSocket(at.url, `${terminal}x`, { ...SIGNED_IN, Origin: "http://proxy.example" });
    expect([wildcard, "status" in refused && refused.status]).toEqual([wildcard, status]);
  }
});

test("path apps are disabled at a proxy with a wildcard, unless --disable-path-apps says otherwise", async () => {
  const wildcard = "*.near.example";
  for (const [flags, status] of [
    [{ "wildcard-access-url": wildcard }, 403],
    [{ "wildcard-access-url": wildcard, "disable-path-apps": "false" }, 200],
    [{ "disable-path-apps": "true" }, 403],
    [{}, 200],
  ] as const) {
    const at = await start(echo, flags);
    at.apps.issue = toAda;
    expect([flags, (await at.ask(`${BASE}/`, SIGNED_IN)).status]).toEqual([flags, status]);
    expect(at.primary.statements[0]!.path_apps).toBe(status === 200);
    expect(at.apps.requests).toHaveLength(status === 200 ? 1 : 0);
  }
});

test("a WebSocket below a path needs a page of the proxy, and ends with the right", async () => {
  const at = await start();
  const echoes = new WebSocketServer({ server: at.server });
  echoes.on("connection", (socket) => socket.on("message", (message) => socket.send(String(message))));
  const echoed = Promise.withResolvers<void>();
  let asked = 0;
  at.apps.issue = async ({ session_token }) => {
    if (session_token !== SESSION) return SIGN_IN;
    if (++asked === 1) return granted({ ends_at: Date.now() });
    await echoed.promise;
    return SIGN_IN;
  };
  for (const headers of [{}, { Origin: "http://evil.example" }]) {
    const refused = await openSocket(at.url, `${BASE}/ws`, { ...SIGNED_IN, ...headers });
    expect("status" in refused && refused.status).toBe(401);
  }
  const opened = await openSocket(at.url, `${BASE}/ws`, { ...SIGNED_IN, Origin: "http://proxy.example" });
  if ("status" in opened) throw new Error(`refused: ${opened.status}`);
  opened.reader.socket.send("hello");
  expect(await opened.reader.next()).toBe("hello");
  echoed.resolve();
  expect(await opened.reader.closed).toBe(1006);
  echoes.close();
});

test("names that are longer than any are those of no app, as at the deployment itself", async () => {
  const at = await start();
  at.apps.issue = ({ app_request, session_token }) => {
    if (session_token !== SESSION) return SIGN_IN;
    const { username_or_id, workspace_name_or_id, agent_name_or_id, app_slug_or_port } = app_request;
    const names = [username_or_id, workspace_name_or_id, agent_name_or_id, app_slug_or_port];
    return names.join() === "ada,dev,main,code" ? granted() : { status: 404, body: "{}" };
  };
  for (const length of [257, 8_000]) {
    const long = "a".repeat(length);
    for (const path of [`/@${long}/dev.main/apps/code/`, `/@ada/${long}/apps/code/`, `/@ada/dev.${long}/apps/code/`]) {
      expect([length, (await at.ask(path, SIGNED_IN)).status]).toEqual([length, 404]);
      expect((await at.ask(path, HOST)).status).toBe(401);
    }
    expect((await at.ask(`/@ada/dev.main/apps/${long}/`, SIGNED_IN)).status).toBe(400);
  }
});
