/** Web apps at the hosts of a workspace proxy, with a scripted primary and real programs. */
import { createServer, request as httpRequest, type IncomingHttpHeaders, type RequestListener } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { AppGrantTarget, IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import { expect, onTestFinished, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import { stateOf } from "../src/apps/tickets.ts";
import type { AppTokenFacts } from "../src/base/app-token.ts";
import { createLogger } from "../src/base/log.ts";
import { parseProxyConfig } from "../src/proxy/config.ts";
import { type ProxyDeps, WorkspaceProxy } from "../src/proxy/workspace-proxy.ts";
import { FakePrimary } from "./fake-primary.ts";
import { ADA, AGENT_ID, FakeApps, factsOf, json, type Refusal } from "./fake-primary-apps.ts";
import { openSocket, send, TextCollector } from "./helpers.ts";

const PROXY_ID = "0b4f42b9-3a9c-4d0e-8f52-6f6f0c7f9d11";
const TOKEN = `${PROXY_ID}:${"5e".repeat(32)}`;
const HOST = "8080--main--dev--ada.near.example";
const SESSION = "S".repeat(43);
const COOKIE = { Cookie: `coder_app_session=${SESSION}` };
const eventually = { timeout: 25_000, interval: 25 };

const TARGET: AppGrantTarget = {
  workspace_id: "77777777-6666-4555-8444-333333333333",
  owner_id: ADA.id,
  agent_id: AGENT_ID,
  port: 8080,
  secure: false,
  base_path: "",
  query: "",
  level: "owner",
  host_header: "preserve",
  cors: "simple",
  cors_origins: [],
  also: [],
  identity_headers: false,
};

const SIGN_IN = json(401, { message: "Sign in to this app first" });

function granted(target: Partial<AppGrantTarget> = {}, grant: Parameters<typeof factsOf>[1] = {}): AppTokenFacts {
  return factsOf({ access_method: "subdomain" }, { target: { ...TARGET, ...target }, ...grant });
}

/** Ada's app, for those who have her session. */
function toAda(target: Partial<AppGrantTarget> = {}) {
  return ({ session_token }: IssueAppTokenRequest): AppTokenFacts | Refusal =>
    session_token === SESSION ? granted(target) : SIGN_IN;
}

async function start(program: RequestListener = (_request, response) => void response.end("an app")) {
  const server = createServer(program);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: programPort } = server.address() as AddressInfo;
  const primary = await new FakePrimary(TOKEN).listen();
  primary.apps = new FakeApps(PROXY_ID);
  const dialled: { readonly agentId: string; readonly port: number }[] = [];
  const tunnels = {
    acquire: async ({ agentId }: { agentId: string }) => ({
      connection: {
        dial: async (port: number) => {
          dialled.push({ agentId, port });
          return connect(programPort, "127.0.0.1");
        },
      },
      release: () => undefined,
    }),
    end: () => undefined,
    close: async () => undefined,
  } as unknown as ProxyDeps["tunnels"] & object;
  const config = parseProxyConfig({
    "primary-access-url": primary.url,
    "access-url": "http://proxy.example",
    "wildcard-access-url": "*.near.example",
    "proxy-session-token": TOKEN,
    "http-address": "127.0.0.1:0",
    "stun-address": "disable",
  });
  const log = new TextCollector();
  const proxy = new WorkspaceProxy(config, {
    log: createLogger({ sink: log, level: "debug", format: "json" }),
    tunnels,
  });
  await proxy.listen();
  onTestFinished(async () => {
    await proxy.close();
    await primary[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  });
  const { port } = proxy.address!;
  const url = `http://127.0.0.1:${port}`;
  await vi.waitFor(async () => expect((await send(url, "GET", "/readyz")).status).toBe(200), eventually);
  const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    askAt(port, path, headers, method);
  return { primary, apps: primary.apps, proxy, server, url, ask, dialled, log };
}

function askAt(port: number, path: string, headers: Record<string, string>, method: string) {
  return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, method, headers: { Host: HOST, ...headers } });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    request.end();
  });
}

test("a visitor with a session reaches the program, whose host and request the primary was asked about once", async () => {
  const at = await start((request, response) => void response.end(`${request.url} ${request.headers.cookie}`));
  at.apps.issue = toAda();
  const cookie = { Cookie: `${COOKIE.Cookie}; theme=dark` };
  expect(await at.ask("/a?b=c", cookie)).toMatchObject({ status: 200, text: "/a?b=c theme=dark" });
  for (let i = 0; i < 20; i++) await at.ask(`/file-${i}`, cookie);
  expect(at.dialled[0]).toEqual({ agentId: AGENT_ID, port: 8080 });
  expect(at.apps.requests).toMatchObject([
    {
      app_request: {
        access_method: "subdomain",
        username_or_id: "ada",
        workspace_name_or_id: "dev",
        agent_name_or_id: "main",
        app_slug_or_port: "8080",
      },
      app_hostname: HOST,
      path_app_base_url: "http://proxy.example",
      session_token: SESSION,
    },
  ]);
  expect(at.primary.statements[0]).toMatchObject({ derp_only: false, wildcard_hostname: "*.near.example" });
  expect(at.primary.faults).toEqual([]);
});

test("a person without a session is sent to the primary, and comes back with a ticket that is taken for one", async () => {
  const at = await start();
  at.apps.issue = toAda();
  const navigation = { "Sec-Fetch-Mode": "navigate", Accept: "text/html" };
  const away = await at.ask("/a?b=c", navigation);
  expect(away.status).toBe(303);
  const to = new URL(away.headers.location!);
  expect([to.origin, to.pathname]).toEqual([at.primary.url, "/api/v2/applications/auth-redirect"]);
  expect(to.searchParams.get("redirect_uri")).toBe(`http://${HOST}/a?b=c`);
  const nonce = /^coder_app_state=([^;]+); Path=\/; HttpOnly; SameSite=Lax/.exec(away.headers["set-cookie"]![0]!)![1]!;
  expect(to.searchParams.get("state")).toBe(stateOf(nonce));
  const redeemed: unknown[] = [];
  at.apps.redeem = (request) => {
    redeemed.push(request);
    return request.ticket === "good" ? SESSION : undefined;
  };
  const state = { ...navigation, Cookie: `coder_app_state=${nonce}` };
  const back = await at.ask("/a?b=c&coder_application_connect_api_key_35e783=good", state);
  expect([back.status, back.headers.location]).toEqual([303, "/a?b=c"]);
  expect(back.headers["set-cookie"]).toEqual([
    `coder_app_session=${SESSION}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400`,
    "coder_app_state=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0",
  ]);
  const parameter = "/?coder_application_connect_api_key_35e783=";
  expect((await at.ask(`${parameter}bad`, state)).status).toBe(400);
  expect((await at.ask(`${parameter}good`, navigation)).status).toBe(400); // another browser
  expect(redeemed).toEqual([
    { ticket: "good", host: HOST, nonce },
    { ticket: "bad", host: HOST, nonce },
  ]);
  expect(at.dialled).toEqual([]);
});

test("what is no navigation gets 401, and a refusal of the primary is passed on as it is", async () => {
  const at = await start();
  at.apps.issue = toAda();
  const refused = await at.ask("/api");
  expect([refused.status, refused.headers["coder-app-login"]]).toEqual([401, `http://${HOST}/`]);
  expect((await at.ask("/", { "Coder-Session-Token": "x".repeat(33), Accept: "text/html" })).status).toBe(401);
  const headers = { "Content-Type": "text/html; charset=utf-8", "Set-Cookie": "coder_session_token=x", "X-Own": "1" };
  at.apps.issue = () => ({ status: 404, headers, body: "<h1>Application Not Found</h1>" });
  const page = await at.ask("/", { ...COOKIE, Accept: "text/html" });
  expect([page.status, page.headers["content-type"], page.text]).toEqual([
    404,
    "text/html; charset=utf-8",
    "<h1>Application Not Found</h1>",
  ]);
  expect([page.headers["set-cookie"], page.headers["x-own"]]).toEqual([undefined, undefined]);
  expect(at.apps.requests.at(-1)).toMatchObject({ accept: "text/html", session_token: SESSION });
  at.apps.issue = () => ({ status: 303, headers: { Location: "http://evil.example/" }, body: "" });
  expect(await at.ask("/", COOKIE)).toMatchObject({ status: 303, headers: { location: "http://evil.example/" } });
});

test("a page of another origin cannot use the session, one of the same owner can", async () => {
  const at = await start();
  at.apps.issue = toAda();
  const origins: [string, number][] = [
    ["http://evil.example", 401],
    ["http://8080--main--dev--bob.near.example", 401],
    ["http://5000--main--other--ada.near.example", 200],
    [`http://${HOST}`, 200],
  ];
  for (const [origin, status] of origins)
    expect((await at.ask("/", { ...COOKIE, Origin: origin }, "POST")).status, origin).toBe(status);
});

test("an app that answers other origins itself does so at a proxy, and its session counts for those that it lists", async () => {
  const at = await start();
  const open: Partial<AppGrantTarget> = { cors: "passthru", cors_origins: ["http://friend.example"], level: "public" };
  at.apps.issue = ({ session_token }) => granted(open, session_token === SESSION ? {} : { visitor: undefined });
  const preflight = { Origin: "http://any.example", "Access-Control-Request-Method": "PUT" };
  expect(await at.ask("/", preflight, "OPTIONS")).toMatchObject({ status: 200, text: "an app" });
  expect((await at.ask("/", { ...COOKIE, Origin: "http://friend.example" })).status).toBe(200);
  expect(at.apps.requests.map(({ session_token }) => session_token)).toContain(SESSION);
});

test("workspaces that do not run are explained, to their owner with the way to start them", async () => {
  const at = await start();
  at.apps.issue = () => granted({}, { state: "stopped" });
  const stopped = await at.ask("/", { ...COOKIE, Accept: "text/html" });
  expect(stopped.status).toBe(503);
  expect(stopped.text).toContain(`${at.primary.url}/@ada/dev`);
  expect(at.dialled).toEqual([]);
});

/** A right that has ended once the program is reached: the next question is refused when the use has begun. */
function endsOnce(at: Awaited<ReturnType<typeof start>>, begun: Promise<unknown>): void {
  at.apps.issue = async () => {
    if (at.apps.requests.length === 1) return granted({}, { ends_at: Date.now() });
    await begun;
    return SIGN_IN;
  };
}

test("an open exchange ends when the primary refuses it, and the next request is refused", async () => {
  const begun = Promise.withResolvers<void>();
  const at = await start((_request, response) => {
    response.write("begins");
    begun.resolve();
  });
  endsOnce(at, begun.promise);
  await expect(at.ask("/", COOKIE)).rejects.toThrow();
  expect((await at.ask("/", COOKIE)).status).toBe(401);
});

test("a WebSocket is passed on, and ends with the right", async () => {
  const at = await start();
  const echo = new WebSocketServer({ server: at.server });
  echo.on("connection", (socket) => socket.on("message", (message) => socket.send(String(message))));
  const echoed = Promise.withResolvers<void>();
  endsOnce(at, echoed.promise);
  const opened = await openSocket(at.url, "/ws", { ...COOKIE, Host: HOST, Origin: `http://${HOST}` });
  if ("status" in opened) throw new Error(`refused: ${opened.status}`);
  opened.reader.socket.send("hello");
  expect(await opened.reader.next()).toBe("hello");
  echoed.resolve();
  expect(await opened.reader.closed).toBe(1006);
  echo.close();
});

test("strangers cannot make the proxy ask without bound, and what cannot be a session is not asked about", async () => {
  const at = await start();
  const answered = Promise.withResolvers<void>();
  at.apps.issue = async () => {
    await answered.promise;
    return SIGN_IN;
  };
  const statuses: number[] = [];
  const strangers = Array.from({ length: 40 }, async (_, number) => {
    const answer = await at.ask("/", { Cookie: `coder_app_session=${String(number).padStart(43, "s")}` });
    statuses.push(answer.status);
    if (answer.status === 503) expect(answer.headers["retry-after"]).toBe("5");
  });
  await vi.waitFor(() => expect(statuses).toEqual(Array(8).fill(503)), eventually);
  answered.resolve();
  await Promise.all(strangers);
  expect(statuses.slice(8)).toEqual(Array(32).fill(401));
  expect(at.apps.requests).toHaveLength(32);
  const malformed = ["x", "x".repeat(44), `${"x".repeat(42)}!`];
  for (const value of malformed)
    expect((await at.ask("/", { Cookie: `coder_app_session=${value}` })).status, value).toBe(401);
  expect(new Set(at.apps.requests.slice(32).map(({ session_token }) => session_token))).toEqual(new Set([""]));
});

test("while the primary is away, visitors whom it knew a moment ago are served, and others get 503", async () => {
  const at = await start();
  at.apps.issue = toAda();
  expect((await at.ask("/", COOKIE)).status).toBe(200);
  await at.primary.goAway();
  expect((await at.ask("/", COOKIE)).status).toBe(200);
  const other = await at.ask("/", { Cookie: `coder_app_session=${"T".repeat(43)}` });
  expect([other.status, other.headers["retry-after"]]).toEqual([503, "5"]);
  expect(other.text).not.toContain(at.primary.url);
});

test("hosts of apps have no routes of the proxy, and the proxy's own host has no apps", async () => {
  const at = await start();
  at.apps.issue = toAda();
  for (const path of ["/healthz", "/derp", "/buildinfo"])
    expect(await at.ask(path, COOKIE)).toMatchObject({ status: 200, text: "an app" });
  expect((await at.ask("/.coder/x", COOKIE)).status).toBe(404);
  expect((await at.ask("/@ada/dev/apps/code/", { ...COOKIE, Host: "proxy.example" })).status).toBe(404);
  const logout = await at.ask("/", { Host: "coder-logout.near.example" });
  expect([logout.status, logout.headers.location]).toEqual([303, `${at.primary.url}/`]);
});

test("a port on which nothing listens is explained, and the owner is shown others", async () => {
  const at = await start();
  at.apps.issue = toAda();
  at.server.close();
  at.server.closeAllConnections();
  const answer = await at.ask("/", { ...COOKIE, Accept: "text/html" });
  expect(answer.status).toBe(502);
  expect(answer.text).toContain("Nothing Listens on Port 8080");
});
