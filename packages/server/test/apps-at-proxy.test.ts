/** Web apps at the hosts of a workspace proxy, with a scripted primary and real programs. */
import type { AppGrantTarget } from "coder-protocol/rest/proxy-apps";
import { expect, test, vi } from "vitest";
import { WebSocketServer } from "ws";
import { stateOf } from "../src/apps/tickets.ts";
import { ADA, AGENT_ID } from "./fake-primary-apps.ts";
import { openSocket } from "./helpers.ts";
import { COOKIE, eventually, granted, HOST, SESSION, SIGN_IN, startProxy, TARGET, toAda } from "./proxy-of-apps.ts";

test("a visitor with a session reaches the program, whose host and request the primary was asked about once", async () => {
  const at = await startProxy((request, response) => void response.end(`${request.url} ${request.headers.cookie}`));
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

test("a person without a session is sent to the primary, and returns with a ticket that is exchanged for a session", async () => {
  const at = await startProxy();
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
  expect([back.status, back.headers.location]).toEqual([303, `http://${HOST}/a?b=c`]);
  expect(back.headers["set-cookie"]).toEqual([
    `coder_app_session=${SESSION}; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400`,
    "coder_app_state=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0",
  ]);
  const parameter = "/?coder_application_connect_api_key_35e783=";
  expect((await at.ask(`${parameter}bad`, state)).status).toBe(400);
  expect((await at.ask(`${parameter}good`, navigation)).status).toBe(400); // another browser
  expect(redeemed).toEqual([
    { ticket: "good", host: HOST, nonce, target: "/a?b=c" },
    { ticket: "bad", host: HOST, nonce, target: "/" },
  ]);
  expect(at.dialled).toEqual([]);
});

test("a sign-in continues at the hosts that the primary names, each of which signs the browser in as well", async () => {
  const at = await startProxy();
  const navigation = { "Sec-Fetch-Mode": "navigate", Accept: "text/html" };
  at.apps.issue = toAda();
  at.apps.redeem = () => SESSION;
  const beside = "http://8081--main--dev--ada.near.example/.coder/chain/next";
  at.apps.next = ({ target }) => (target === "/page" ? beside : undefined);
  const state = { ...navigation, Cookie: "coder_app_state=nonce" };
  const parameter = "coder_application_connect_api_key_35e783=good";
  const signedIn = await at.ask(`/page?${parameter}`, state);
  expect([signedIn.status, signedIn.headers.location]).toEqual([303, beside]);
  const chain = `/.coder/chain/${"c".repeat(100)}`;
  // Even with a session, since the primary decides where the chain continues.
  for (const cookie of [{}, COOKIE]) {
    const stop = await at.ask(chain, { ...navigation, ...cookie });
    expect([stop.status, new URL(stop.headers.location!).searchParams.get("redirect_uri")]).toEqual([
      303,
      `http://${HOST}${chain}`,
    ]);
  }
  // A chain that the primary does not continue ends, and does not start again.
  const over = await at.ask(`${chain}?${parameter}`, state);
  expect([over.status, over.headers.location]).toEqual([303, `http://${HOST}/`]);
  expect([(await at.ask(chain, COOKIE)).status, (await at.ask("/.coder/chain/x", navigation)).status]).toEqual([
    401, 404,
  ]);
  expect(at.dialled).toEqual([]);
});

test("uses of apps are reported to the primary, at the latest when the proxy stops", async () => {
  const at = await startProxy();
  at.apps.issue = toAda();
  for (const path of ["/", "/style.css", "/script.js"]) await at.ask(path, COOKIE);
  await at.ask("/"); // a stranger
  expect(at.apps.uses).toEqual([]);
  await at.proxy.close();
  expect(at.apps.uses).toMatchObject([
    {
      user_id: ADA.id,
      workspace_id: TARGET.workspace_id,
      agent_id: AGENT_ID,
      access_method: "subdomain",
      slug_or_port: "8080",
      requests: 3,
    },
  ]);
  expect(at.primary.faults).toEqual([]);
});

test("a request that is not a navigation gets 401, and a refusal of the primary is passed on unchanged", async () => {
  const at = await startProxy();
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
  const at = await startProxy();
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

test("an app that answers other origins itself does so at a proxy too, and the origins that it lists may use its session", async () => {
  const at = await startProxy();
  const open: Partial<AppGrantTarget> = { cors: "passthru", cors_origins: ["http://friend.example"], level: "public" };
  at.apps.issue = ({ session_token }) => granted(open, session_token === SESSION ? {} : { visitor: undefined });
  const preflight = { Origin: "http://any.example", "Access-Control-Request-Method": "PUT" };
  expect(await at.ask("/", preflight, "OPTIONS")).toMatchObject({ status: 200, text: "an app" });
  expect((await at.ask("/", { ...COOKIE, Origin: "http://friend.example" })).status).toBe(200);
  expect(at.apps.requests.map(({ session_token }) => session_token)).toContain(SESSION);
});

test("the answer for a stopped workspace explains it, and tells its owner how to start it", async () => {
  const at = await startProxy();
  at.apps.issue = () => granted({}, { state: "stopped" });
  const stopped = await at.ask("/", { ...COOKIE, Accept: "text/html" });
  expect(stopped.status).toBe(503);
  expect(stopped.text).toContain(`${at.primary.url}/@ada/dev`);
  expect(at.dialled).toEqual([]);
});

/** Ends the right once the program is reached: the next question is refused after the use has begun. */
function endsOnce(at: Awaited<ReturnType<typeof startProxy>>, begun: Promise<unknown>): void {
  at.apps.issue = async () => {
    if (at.apps.requests.length === 1) return granted({}, { ends_at: Date.now() });
    await begun;
    return SIGN_IN;
  };
}

test("an open exchange ends when the primary refuses it, and the next request is refused", async () => {
  const begun = Promise.withResolvers<void>();
  const at = await startProxy((_request, response) => {
    response.write("begins");
    begun.resolve();
  });
  endsOnce(at, begun.promise);
  await expect(at.ask("/", COOKIE)).rejects.toThrow();
  expect((await at.ask("/", COOKIE)).status).toBe(401);
});

test("a WebSocket is passed on, and ends with the right", async () => {
  const at = await startProxy();
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

test("strangers cannot cause unlimited questions to the primary, and malformed sessions cause none", async () => {
  const at = await startProxy();
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

test("while the primary is away, visitors whom it admitted a moment ago are served, and others get 503", async () => {
  const at = await startProxy();
  at.apps.issue = toAda();
  expect((await at.ask("/", COOKIE)).status).toBe(200);
  await at.primary.goAway();
  expect((await at.ask("/", COOKIE)).status).toBe(200);
  const other = await at.ask("/", { Cookie: `coder_app_session=${"T".repeat(43)}` });
  expect([other.status, other.headers["retry-after"]]).toEqual([503, "5"]);
  expect(other.text).not.toContain(at.primary.url);
});

test("hosts of apps have no routes of the proxy, and the proxy's own host has no apps where a wildcard is set", async () => {
  const at = await startProxy();
  at.apps.issue = toAda();
  for (const path of ["/healthz", "/derp", "/buildinfo"])
    expect(await at.ask(path, COOKIE)).toMatchObject({ status: 200, text: "an app" });
  expect((await at.ask("/.coder/x", COOKIE)).status).toBe(404);
  expect((await at.ask("/@ada/dev/apps/code/", { ...COOKIE, Host: "proxy.example" })).status).toBe(403);
  const logout = await at.ask("/", { Host: "coder-logout.near.example" });
  expect([logout.status, logout.headers.location]).toEqual([303, `${at.primary.url}/`]);
});

test("the answer for a port on which nothing listens explains it, and shows the owner others", async () => {
  const at = await startProxy();
  at.apps.issue = toAda();
  at.server.close();
  at.server.closeAllConnections();
  const answer = await at.ask("/", { ...COOKIE, Accept: "text/html" });
  expect(answer.status).toBe(502);
  expect(answer.text).toContain("Nothing Listens on Port 8080");
});
