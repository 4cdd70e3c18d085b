import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { CSRF_HEADER, errorBody, SESSION_TOKEN_COOKIE, SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import {
  appearance,
  authorizationResponse,
  buildInfo,
  entitlements,
  healthReport,
  regionsResponse,
  sshConfig,
  updateCheck,
} from "coder-protocol/rest/deployment";
import { AGENT_API_VERSION } from "coder-protocol/version";
import { expect, test } from "vitest";
import { DomainError } from "../src/base/domain-error.ts";
import { createLogger } from "../src/base/log.ts";
import { OpenStreams } from "../src/base/open-streams.ts";
import { FrontDoor } from "../src/http/front-door.ts";
import { DEFAULT_LIMITS } from "../src/http/limits.ts";
import { Listeners } from "../src/http/listeners.ts";
import {
  addMember,
  addWorkspace,
  agentToken,
  firstUser,
  openSocket,
  PASSWORD,
  send,
  startServer,
  TextCollector,
} from "./helpers.ts";

const api = "/api/v2";

test("an upload is asked for its body only once it is known that it is accepted", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const ask = async (as: string, path: string, length: string): Promise<[number | undefined, boolean]> => {
    const headers = { [SESSION_TOKEN_HEADER]: as, Expect: "100-continue", "Content-Length": length };
    const request = httpRequest(`${test.url}${api}${path}`, { method: "PUT", headers });
    let continued = false;
    request.on("continue", () => {
      continued = true;
      request.end("body");
    });
    request.flushHeaders();
    const [response] = (await once(request, "response")) as [IncomingMessage];
    request.destroy();
    return [response.statusCode, continued];
  };
  const file = `/workspaceagents/${agentId}/files`;
  expect(await ask("wrong", `${file}?path=/a`, "4")).toEqual([401, false]);
  expect(await ask(token, file, "4")).toEqual([400, false]);
  expect(await ask(token, `${file}?path=/a`, String(2 ** 50))).toEqual([413, false]);
  // The body is accepted, but there is no agent.
  expect(await ask(token, `${file}?path=/a`, "4")).toEqual([502, true]);
  // Other routes read the body first.
  expect(await ask("wrong", "/users/me/profile", "4")).toEqual([401, true]);
});

test("deployment facts have their shapes", async () => {
  await using test = await startServer({ flags: { "ssh-config-options": "ForwardAgent=yes,LogLevel=ERROR" } });
  const { token } = await firstUser(test.url);
  const read = async (path: string) => (await send(test.url, "GET", `${api}${path}`, { token })).json;
  const info = buildInfo.parse(await read("/buildinfo"));
  expect(info).toMatchObject({ agent_api_version: AGENT_API_VERSION, dashboard_url: test.url });
  expect(info.version).toMatch(/^v\d+\.\d+\.\d+\+/);
  appearance.parse(await read("/appearance"));
  expect(sshConfig.parse(await read("/deployment/ssh"))).toEqual({
    hostname_prefix: "coder.",
    hostname_suffix: "coder",
    ssh_config_options: { ForwardAgent: "yes", LogLevel: "ERROR" },
  });
  updateCheck.parse(await read("/updatecheck"));
  entitlements.parse(await read("/entitlements"));
  regionsResponse.parse(await read("/regions"));
  expect(await read("/experiments")).toEqual([]);
  expect((await send(test.url, "GET", "/healthz")).text).toBe("OK");
  expect((await send(test.url, "GET", "/latency-check")).headers["access-control-allow-origin"]).toBe("*");
  expect((await send(test.url, "GET", "/install.sh")).text).toContain("#!/bin/sh");
  const checks = {
    own: { object: { resource_type: "workspace", owner_id: "me" }, action: "read" },
    any: { object: { resource_type: "deployment_config" }, action: "read" },
  };
  const bob = await addMember(test.url, token, "bob");
  const ask = async (as: string) =>
    authorizationResponse.parse(
      (await send(test.url, "POST", `${api}/authcheck`, { token: as, body: { checks } })).json,
    );
  expect(await ask(token)).toEqual({ own: true, any: true });
  expect(await ask(bob.token)).toEqual({ own: true, any: false });
});

test("the health report covers database, access URL and WebSocket", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const report = healthReport.parse((await send(test.url, "GET", `${api}/debug/health`, { token })).json);
  expect(report.access_url).toMatchObject({ healthy: true, status_code: 200, healthz_response: "OK" });
  expect(report.database).toMatchObject({ healthy: true, reachable: true });
  expect(report.websocket).toMatchObject({ healthy: true, code: 101 });
  expect(report.derp.warnings.map((warning) => warning.code)).toEqual(["ESTUN01"]);
  expect(report.healthy).toBe(true);
});

test("an unreachable access URL is reported, not hidden", async () => {
  await using test = await startServer({ flags: { "access-url": "http://127.0.0.1:1" } });
  const { token } = await firstUser(test.url);
  const report = healthReport.parse((await send(test.url, "GET", `${api}/debug/health`, { token })).json);
  expect(report).toMatchObject({ healthy: false, severity: "error" });
  expect(report.access_url).toMatchObject({ healthy: false, reachable: false });
  expect(report.websocket.healthy).toBe(false);
});

test("the first token is used: cookie, header, bearer", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const status = async (headers: Record<string, string>, query = "") =>
    (await send(test.url, "GET", `${api}/users/me${query}`, { headers })).status;
  const cookie = { Cookie: `other=1; ${SESSION_TOKEN_COOKIE}=${token}` };
  const badCookie = { Cookie: `${SESSION_TOKEN_COOKIE}=AAAAAAAAAA-BBBBBBBBBBBBBBBBBBBBBB` };
  expect(await status(cookie)).toBe(200);
  expect(await status({ Cookie: `${SESSION_TOKEN_COOKIE}="${token}"` })).toBe(200);
  expect(await status({ [SESSION_TOKEN_HEADER]: token })).toBe(200);
  expect(await status({ Authorization: `Bearer ${token}` })).toBe(200);
  expect(await status({ ...badCookie, [SESSION_TOKEN_HEADER]: token })).toBe(401);
  expect(await status({ ...cookie, [SESSION_TOKEN_HEADER]: "wrong" })).toBe(200);
  expect(await status({ Authorization: "Bearer wrong", [SESSION_TOKEN_HEADER]: token })).toBe(200);
});

test("security 5: a token in the query counts on WebSockets only and is never logged", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  for (const name of [SESSION_TOKEN_COOKIE, "access_token"]) {
    expect((await send(test.url, "GET", `${api}/users/me?${name}=${token}`)).status).toBe(401);
    const result = await openSocket(test.url, `${api}/workspaces/${workspace.id}/watch-ws?${name}=${token}`, {});
    expect("reader" in result).toBe(true);
    if ("reader" in result) result.reader.socket.terminate();
  }
  expect(test.log.text).toContain("watch-ws");
  expect(test.log.text).not.toContain(token);
  expect(test.log.text).not.toContain(token.slice(11));
});

test("security 37: a debug log of everything above holds no secret", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const agent = await agentToken(test.url, token, workspace.id);
  await send(test.url, "POST", `${api}/users/login`, {
    body: { email: "ada@example.com", password: "a wrong secret" },
  });
  await send(test.url, "PATCH", `${api}/workspaceagents/me/logs`, { token: agent, body: { logs: [] } });
  const { log } = test.server.parts;
  log.info({ token, headers: { authorization: `Bearer ${token}`, cookie: "a=b" }, password: PASSWORD }, "fields");
  log.info(`a text with ${token} in it and a URL /x?access_token=abc&y=1`);
  for (const secret of [token, token.slice(11), agent, PASSWORD, "a wrong secret", "access_token=abc"]) {
    expect(test.log.text).not.toContain(secret);
  }
  expect(test.log.text).toContain("[redacted]");
});

test("security 8: a request with a cookie that changes something needs the CSRF proof, and cookies are HttpOnly and SameSite=Lax", async () => {
  await using test = await startServer({ flags: { "access-url": "https://coder.example.com" } });
  const { token } = await firstUser(test.url);
  const login = await send(test.url, "POST", `${api}/users/login`, {
    body: { email: "ada@example.com", password: PASSWORD },
  });
  const cookies = login.headers["set-cookie"] ?? [];
  const session = String(cookies[0]);
  expect(session).toMatch(/^__Host-coder_session=[^;]+; HttpOnly; Path=\/; Max-Age=86400; SameSite=Lax; Secure$/);
  expect(cookies[1]).toMatch(/^__Host-csrf_token=[^;]+; Path=\/; Max-Age=86400; SameSite=Strict; Secure$/);
  const cookie = session.split(";")[0] ?? "";
  const proof = String(cookies[1]).split(";")[0]?.slice("__Host-csrf_token=".length) ?? "";
  const post = async (headers: Record<string, string>) =>
    (await send(test.url, "POST", `${api}/users/me/keys`, { headers })).status;
  expect(await post({ Cookie: cookie })).toBe(403);
  expect(await post({ Cookie: cookie, [CSRF_HEADER]: "guess" })).toBe(403);
  expect(await post({ Cookie: `${cookie}; csrf_token=guess`, [CSRF_HEADER]: "guess" })).toBe(403);
  expect(await post({ Cookie: cookie, [CSRF_HEADER]: proof })).toBe(201);
  expect(await post({ Cookie: cookie, [CSRF_HEADER]: proof, Origin: "https://evil.example" })).toBe(403);
  expect(await post({ Cookie: cookie, [CSRF_HEADER]: proof, Origin: "https://coder.example.com" })).toBe(201);
  // The proof of another login is not accepted.
  expect(await post({ Cookie: `${SESSION_TOKEN_COOKIE}=${token}`, [CSRF_HEADER]: proof })).toBe(403);
  expect((await send(test.url, "GET", `${api}/users/me`, { headers: { Cookie: cookie } })).status).toBe(200);
  // A page of another site cannot log its visitor in either.
  const foreign = await send(test.url, "POST", `${api}/users/login`, {
    body: { email: "ada@example.com", password: PASSWORD },
    headers: { Origin: "https://evil.example" },
  });
  expect(foreign.status).toBe(403);
});

test("security 7: an upgrade with a cookie needs our Origin; header logins and log followers of the CLI pass", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const workspace = await addWorkspace(test.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id;
  const cookie = { Cookie: `${SESSION_TOKEN_COOKIE}=${token}` };
  const status = async (path: string, headers: Record<string, string>) => {
    const result = await openSocket(test.url, path, headers);
    if ("status" in result) return result.status;
    result.reader.socket.terminate();
    return 101;
  };
  const watch = `${api}/workspaces/${workspace.id}/watch-ws`;
  const logs = `${api}/workspaceagents/${agentId}/logs?follow`;
  for (const path of [watch, `${api}/debug/ws`]) {
    expect(await status(path, cookie)).toBe(403);
    expect(await status(path, { ...cookie, Origin: "https://evil.example" })).toBe(403);
    expect(await status(path, { ...cookie, Origin: "null" })).toBe(403);
    expect(await status(path, { ...cookie, Origin: test.url })).toBe(101);
    expect(await status(path, { [SESSION_TOKEN_HEADER]: token })).toBe(101);
  }
  expect(await status(logs, cookie)).toBe(101);
  expect(await status(logs, { ...cookie, Origin: "https://evil.example" })).toBe(403);
  expect(await status(`${api}/nowhere`, cookie)).toBe(404);
});

test("security 9: a foreign Host gets 421, on requests and upgrades", async () => {
  await using test = await startServer({
    flags: { "access-url": "https://coder.example.com", "allowed-hosts": "intra.example, *.corp.example" },
  });
  const status = async (host: string) => (await send(test.url, "GET", "/healthz", { headers: { Host: host } })).status;
  for (const host of [
    "coder.example.com",
    "coder.example.com:8443",
    "CODER.example.com",
    "intra.example",
    "a.corp.example",
    "localhost",
    `127.0.0.1:${test.port}`,
  ]) {
    expect([host, await status(host)]).toEqual([host, 200]);
  }
  for (const host of [
    "evil.example",
    "coder.example.com.evil.example",
    "corp.example",
    "127.0.0.2",
    "169.254.169.254",
    "localhost.evil",
    "[::1]",
  ]) {
    expect([host, await status(host)]).toEqual([host, 421]);
  }
  const refused = await send(test.url, "GET", "/healthz", { headers: { Host: "evil.example" } });
  expect(errorBody.parse(refused.json).detail).toContain("--allowed-hosts");
  expect(await openSocket(test.url, `${api}/debug/ws`, { Host: "evil.example" })).toMatchObject({ status: 421 });
});

test("redirecting to the access URL keeps path and query, and excludes probes", async () => {
  await using test = await startServer({
    flags: { "access-url": "https://coder.example.com", "redirect-to-access-url": true },
  });
  const answer = await send(test.url, "GET", "/cli-auth?a=1", { headers: { Host: "other.example" } });
  expect(answer.status).toBe(307);
  expect(answer.headers["location"]).toBe("https://coder.example.com/cli-auth?a=1");
  const redirected = await raw(test.port, ["GET //evil.example/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]);
  expect(redirected).toContain("Location: https://coder.example.com//evil.example/x\r\n");
  expect((await send(test.url, "GET", "/healthz")).status).toBe(200);
  expect((await send(test.url, "GET", `${api}/buildinfo`, { headers: { Host: "coder.example.com" } })).status).toBe(
    200,
  );
});

test("security 38: errors carry no stack, path or SQL", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const { store } = test.server.parts;
  await store.close();
  const answer = await send(test.url, "GET", `${api}/users/me`, { token });
  expect(answer.status).toBe(500);
  expect(errorBody.parse(answer.json).detail).toMatch(/^reference [0-9a-f-]{36}$/);
  for (const leak of ["node_modules", "/src/", "select", "sqlite", "    at "]) {
    expect(answer.text.toLowerCase()).not.toContain(leak);
  }
  expect(test.log.text).toContain(String(answer.json.detail).slice("reference ".length));
});

test("security 40: too long a URL, header or body is refused", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  expect((await send(test.url, "GET", `/healthz?${"x".repeat(9_000)}`)).status).toBe(414);
  const body = JSON.stringify({ name: "x".repeat(300_000) });
  expect((await send(test.url, "POST", `${api}/users/me/workspaces`, { token, rawBody: body })).status).toBe(413);
  // If no length is declared, reading stops at the limit.
  const chunked = await raw(test.port, [
    `POST ${api}/users/me/workspaces HTTP/1.1\r\nHost: 127.0.0.1\r\n${SESSION_TOKEN_HEADER}: ${token}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ...Array.from({ length: 20 }, () => `8000\r\n${"x".repeat(0x8000)}\r\n`),
  ]);
  expect(chunked).toMatch(/^HTTP\/1\.1 413 /);
  const headers = await raw(test.port, [
    `GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Big: ${"x".repeat(20_000)}\r\n\r\n`,
  ]);
  expect(headers).toMatch(/^HTTP\/1\.1 431 /);
});

test("security S25: a browser with too many cookies of a program gets an answer that says what to clear", async () => {
  await using test = await startServer();
  const cookies = (count: number): string =>
    Array.from({ length: count }, (_, index) => `c${index}=${"x".repeat(4_000)}`).join("; ");
  const get = (count: number, more = "") =>
    raw(test.port, [
      `GET / HTTP/1.1\r\nHost: localhost:${test.port}\r\n${more}Connection: close\r\nCookie: ${cookies(count)}\r\n\r\n`,
    ]);
  for (const [count, site] of [
    [200, "this site"],
    [8, "localhost and the domains above it"],
  ] as const) {
    const page = await get(count, "Sec-Fetch-Mode: navigate\r\n");
    expect(page).toMatch(/^HTTP\/1\.1 431 /);
    expect(page).toContain(`Clear the cookies of ${site}`);
    expect(page.toLowerCase()).toContain("content-security-policy: default-src 'none'");
    expect(page).toMatch(/<\/html>\n$/);
  }
  const program = await get(8);
  expect([program.slice(0, 13), program]).toEqual(["HTTP/1.1 431 ", expect.stringContaining('{"message"')]);
  // Other requests are served meanwhile.
  expect((await send(test.url, "GET", "/healthz")).status).toBe(200);
});

test("security 40: a client that sends one byte at a time is disconnected", async () => {
  await using test = await startServer({
    deps: { limits: { headersTimeoutMs: 300, requestTimeoutMs: 600, connectionsCheckMs: 50 } },
  });
  const socket = connect(test.port, "127.0.0.1");
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", () => undefined);
  const text = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ";
  let sent = 0;
  const timer = setInterval(() => socket.write(text.charAt(sent++) || "y"), 20);
  await closed;
  clearInterval(timer);
  expect(sent).toBeGreaterThan(0);
  // Other requests continue.
  expect((await send(test.url, "GET", "/healthz")).status).toBe(200);
});

test("security 42: junk on the wire ends only its own connection", async () => {
  await using test = await startServer();
  const junk = [
    "\0\0\0\0",
    "GET\r\n\r\n",
    "GET http://%%% HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    `${"A".repeat(1000)}\r\n\r\n`,
    "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    "GET /%ff%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    "GET /api/v2/users/%E0%A4%A HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    "GET /api/v2/debug/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
  ];
  for (const bytes of junk) expect(await raw(test.port, [bytes])).toMatch(/^HTTP\/1\.1 [45]\d\d |^$/);
  expect((await send(test.url, "GET", "/healthz")).status).toBe(200);
});

test("security 10: the token page runs no script, cannot be framed and needs its own origin", async () => {
  await using test = await startServer();
  const { token } = await firstUser(test.url);
  const page = await send(test.url, "GET", "/cli-auth");
  const policy = String(page.headers["content-security-policy"]);
  expect(policy).not.toContain("unsafe");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).toContain("default-src 'none'");
  expect(page.headers["cache-control"]).toBe("no-store");
  expect(page.text).not.toContain("<script");
  expect(page.text).toContain('name="password"');

  const form = (fields: Record<string, string>, headers: Record<string, string>) =>
    send(test.url, "POST", "/cli-auth", {
      rawBody: new URLSearchParams(fields).toString(),
      headers: { "Content-Type": "application/x-www-form-urlencoded", ...headers },
    });
  const credentials = { email: "ada@example.com", password: PASSWORD };
  expect((await form(credentials, {})).status).toBe(403);
  expect((await form(credentials, { Origin: "https://evil.example" })).status).toBe(403);
  const wrong = await form({ ...credentials, password: "<b>no</b>" }, { Origin: test.url });
  expect(wrong.status).toBe(401);
  expect(wrong.text).not.toContain("<b>");
  const shown = await form(credentials, { Origin: test.url });
  const minted = /<code>([a-zA-Z0-9]{10}-[a-zA-Z0-9]{22})<\/code>/.exec(shown.text)?.[1] ?? "";
  expect((await send(test.url, "GET", `${api}/users/me`, { token: minted })).status).toBe(200);

  const cookie = { Cookie: `${SESSION_TOKEN_COOKIE}=${token}`, Origin: test.url };
  const loggedIn = await send(test.url, "GET", "/cli-auth", { headers: cookie });
  const proof = /name="csrf" value="([^"]+)"/.exec(loggedIn.text)?.[1] ?? "";
  expect((await form({ csrf: "guess" }, cookie)).status).toBe(401);
  expect((await form({ csrf: proof }, cookie)).text).toMatch(/<code>[a-zA-Z0-9]{10}-/);
});

test("a proxy's statement about the client counts only when the proxy is trusted", async () => {
  const attempts = async (flags: Record<string, string>) => {
    await using test = await startServer({ flags });
    await firstUser(test.url);
    const seen = new Set<number>();
    for (let i = 0; i < 70; i++) {
      const answer = await send(test.url, "POST", `${api}/users/login`, {
        body: { email: `u${i}@example.com`, password: "x" },
        headers: { "X-Forwarded-For": `203.0.113.${i}` },
      });
      seen.add(answer.status);
    }
    return [...seen].sort();
  };
  expect(await attempts({})).toEqual([401, 429]);
  const trusted = { "proxy-trusted-headers": "X-Forwarded-For", "proxy-trusted-origins": "127.0.0.0/8" };
  expect(await attempts(trusted)).toEqual([401]);
});

test("all parts of the server are queried, and a failing part does not affect others", async () => {
  const log = createLogger({ sink: new TextCollector(), level: "debug", format: "json" });
  const door = new FrontDoor({
    requestRoutes: [
      {
        name: "probe",
        match: (url) => url.pathname === "/derp/latency-check",
        handle: (_request, response) => void response.writeHead(204).end(),
      },
      {
        name: "broken",
        match: (url) => url.pathname === "/broken",
        handle: () => {
          throw new Error("a bug with a /secret/path");
        },
      },
    ],
    upgradeRoutes: [
      {
        name: "broken-upgrade",
        match: (url) => url.pathname === "/broken",
        handle: () => Promise.reject(new Error("bug")),
      },
      {
        name: "refusing-upgrade",
        match: (url) => url.pathname === "/refusing",
        handle: () => {
          throw new DomainError("too-many", "Too many.", { retryAfterSeconds: 7 });
        },
      },
    ],
    hosts: { isOurs: () => true },
    clientAddress: () => "192.0.2.1",
    settings: { accessUrl: undefined, redirectToAccessUrl: false, hstsMaxAgeSeconds: 0 },
    limits: DEFAULT_LIMITS,
    log,
  });
  const listeners = new Listeners({ door, limits: DEFAULT_LIMITS, streams: new OpenStreams(), log });
  const { port } = await listeners.http({ host: "127.0.0.1", port: 0 }, "http-address");
  const url = `http://127.0.0.1:${port}`;
  expect((await send(url, "GET", "/derp/latency-check")).status).toBe(204);
  const broken = await send(url, "GET", "/broken");
  expect(broken.status).toBe(500);
  expect(broken.text).not.toContain("secret");
  await expect(openSocket(url, "/broken", {})).rejects.toThrow();
  expect(await openSocket(url, "/refusing", {})).toEqual({ status: 429, text: '{"message":"Too many."}\n' });
  expect((await send(url, "GET", "/derp/latency-check")).status).toBe(204);
  expect((await send(url, "GET", "/nowhere")).json).toEqual({ message: "Route not found." });
  listeners.startClosing();
  await listeners.closed();
});

test("metrics are on their own address", async () => {
  await using test = await startServer({ flags: { "prometheus-enable": true, "prometheus-address": "127.0.0.1:0" } });
  await send(test.url, "GET", "/healthz");
  expect((await send(test.url, "GET", "/metrics")).status).toBe(404);
  const response = await fetch(`http://127.0.0.1:${test.server.metricsAddress?.port}/metrics`);
  expect(await response.text()).toContain('coderd_api_requests_processed_total{method="GET",code="200"} 1');
});

/** Writes the pieces and reads until the server closes, or for 2 s. */
function raw(port: number, pieces: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      for (const piece of pieces) socket.write(piece, "latin1");
    });
    let text = "";
    const timer = setTimeout(() => socket.destroy(), 2_000);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}
