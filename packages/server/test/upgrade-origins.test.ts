/**
 * Every upgrade of the server, with a login's cookie and each Origin that a page, or a program other than a browser, may send.
 */
import { randomUUID } from "node:crypto";
import { SESSION_TOKEN_COOKIE } from "coder-protocol/rest/common";
import { PROXY_COORDINATE_PATH } from "coder-protocol/rest/proxy-apps";
import { PROXY_RELAY_KEYS_PATH } from "coder-protocol/rest/workspace-proxies";
import { expect, test } from "vitest";
import { type AppServer, startApps } from "./apps/helpers.ts";
import { firstUser, openSocket, PASSWORD, send, startServer } from "./helpers.ts";

/** What the cookie of a login grants on a route. */
type Worth =
  /** The login, for pages of the deployment only. */
  | "login"
  /** The same as "login", but also without an Origin: commands follow logs with a cookie. */
  | "login of commands"
  /** Nothing: the route requires a token of another kind. */
  | "nothing"
  /** Nothing: the route has no login. */
  | "anonymous";

interface Ids {
  readonly workspace: string;
  readonly agent: string;
  readonly build: string;
}

const ROUTES: Readonly<Record<string, readonly [Worth, (ids: Ids) => string]>> = {
  relay: ["anonymous", () => "/derp"],
  coordinate: ["login", ({ agent }) => `/api/v2/workspaceagents/${agent}/coordinate?version=2.0`],
  tailnet: ["login", () => "/api/v2/tailnet?version=2.0"],
  "agent rpc": ["nothing", () => "/api/v2/workspaceagents/me/rpc?version=2.0"],
  "derp map": ["anonymous", () => "/api/v2/derp-map"],
  terminal: ["login", ({ agent }) => `/api/v2/workspaceagents/${agent}/pty?reconnect=${randomUUID()}`],
  "proxy coordinate": ["nothing", () => `${PROXY_COORDINATE_PATH}?version=2.0`],
  "proxy relay keys": ["nothing", () => PROXY_RELAY_KEYS_PATH],
  "dashboard-stream": ["login", () => "/api/v2/dashboard/stream"],
  "watch-workspace": ["login", ({ workspace }) => `/api/v2/workspaces/${workspace}/watch-ws`],
  "watch-metadata": ["login", ({ agent }) => `/api/v2/workspaceagents/${agent}/watch-metadata-ws`],
  "follow-agent-logs": ["login of commands", ({ agent }) => `/api/v2/workspaceagents/${agent}/logs?follow`],
  "follow-build-logs": ["login of commands", ({ build }) => `/api/v2/workspacebuilds/${build}/logs?follow`],
  "follow-dry-run-logs": [
    "login of commands",
    () => `/api/v2/templateversions/${randomUUID()}/dry-run/${randomUUID()}/logs?follow`,
  ],
  "watch-inbox": ["login", () => "/api/v2/notifications/inbox/watch"],
  echo: ["login", () => "/api/v2/debug/ws"],
};

async function started(): Promise<{ apps: AppServer; ids: Ids }> {
  const apps = await startApps({ deps: { tunnelConnectMs: 100 } });
  const answer = await send(apps.test.url, "GET", `/api/v2/workspaces/${apps.workspaceId}`, { token: apps.ada.token });
  return { apps, ids: { workspace: apps.workspaceId, agent: apps.agentId, build: answer.json.latest_build.id } };
}

/** 101, or the status of the refusal. */
async function statusOf(apps: AppServer, path: string, headers: Record<string, string>): Promise<number> {
  const answer = await openSocket(apps.test.url, path, headers);
  if ("status" in answer) return answer.status;
  answer.reader.socket.terminate();
  return 101;
}

/** Origins that do not belong to a page of the deployment. */
function foreignOrigins({ test: { port }, host }: AppServer): string[] {
  return [
    "null",
    "",
    "https://evil.example",
    `http://127.0.0.1:${port + 1}`,
    "http://127.0.0.1",
    `http://localhost:${port}`,
    `http://127.0.0.1:${port}.evil.example`,
    `http://127.0.0.1:${port}@evil.example`,
    // A page of an app is not a page of the deployment, even if the app's owner also owns the workspace.
    `http://${host(8080)}`,
  ];
}

test("security S8: an upgrade with a login's cookie is accepted only with the deployment's own Origin, on every route", async () => {
  const { apps, ids } = await started();
  await using _ = apps;
  const { upgradeRoutes } = apps.test.server.http;
  expect(upgradeRoutes.map(({ name }) => name).sort()).toEqual(Object.keys(ROUTES).sort());
  for (const { name, match } of upgradeRoutes) {
    const [worth, pathOf] = ROUTES[name]!;
    expect([name, match(new URL(pathOf(ids), apps.test.url))]).toEqual([name, true]);
    // The owner of the deployment may use every route.
    const login = { Cookie: `${SESSION_TOKEN_COOKIE}=${apps.admin.token}` };
    const status = (origin: string | undefined): Promise<number> =>
      statusOf(apps, pathOf(ids), origin === undefined ? login : { ...login, Origin: origin });
    const own = await status(apps.test.url);
    // The relay requires a subprotocol, which is not offered here.
    expect([name, own]).toEqual([name, worth === "nothing" ? 401 : name === "relay" ? 426 : 101]);
    const refused = worth === "login" || worth === "login of commands" ? 403 : own;
    for (const origin of foreignOrigins(apps))
      expect([name, origin, await status(origin)]).toEqual([name, origin, refused]);
    const absent = worth === "login of commands" ? 101 : refused;
    expect([name, "absent", await status(undefined)]).toEqual([name, "absent", absent]);
  }
});

test("security S8: if browsers use https, a page loaded over http is foreign", async () => {
  await using test = await startServer({ flags: { "access-url": "https://coder.example.com" } });
  const { token } = await firstUser(test.url);
  const headers = { Host: "coder.example.com", Cookie: `__Host-coder_session=${token}` };
  const upgrade = async (origin: string, more = {}): Promise<number> => {
    const answer = await openSocket(test.url, "/api/v2/dashboard/stream", { ...headers, Origin: origin, ...more });
    if ("status" in answer) return answer.status;
    answer.reader.socket.terminate();
    return 101;
  };
  expect(await upgrade("https://coder.example.com")).toBe(101);
  for (const origin of ["http://coder.example.com", "http://coder.example.com:443"])
    expect([origin, await upgrade(origin)]).toEqual([origin, 403]);
  const login = { email: "ada@example.com", password: PASSWORD };
  const logIn = (origin: string) =>
    send(test.url, "POST", "/api/v2/users/login", {
      body: login,
      headers: { Host: "coder.example.com", Origin: origin },
    });
  expect((await logIn("http://coder.example.com")).status).toBe(403);
  expect((await logIn("https://coder.example.com")).status).toBe(201);
  // A page from this machine cannot have been altered in transit.
  const local = `127.0.0.1:${test.port}`;
  expect(await upgrade(`http://${local}`, { Host: local })).toBe(101);
});

test("security S8: a login's cookie is accepted on an upgrade of an app below a path only with the deployment's Origin", async () => {
  await using apps = await startApps({ flags: { "disable-path-apps": "false" } });
  let asked = 0;
  const program = await apps.program(8080, (_request, response) => response.end());
  program.on("upgrade", (_request, socket) => {
    asked++;
    socket.end("HTTP/1.1 418 Here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  });
  const made = await send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/apps`, {
    token: apps.ada.token,
    body: { slug: "web", url: "http://127.0.0.1:8080" },
  });
  expect(made.status).toBe(201);
  const login = { Cookie: `${SESSION_TOKEN_COOKIE}=${apps.ada.token}` };
  const status = (headers: Record<string, string>): Promise<number> =>
    statusOf(apps, "/@owner/dev/apps/web/", { ...login, ...headers });
  for (const origin of foreignOrigins(apps)) {
    // A page under another name of this server is foreign to it as well.
    expect([origin, await status({ Origin: origin })]).toEqual([origin, 403]);
  }
  expect(await status({})).toBe(403);
  expect(asked).toBe(0);
  expect([await status({ Origin: apps.test.url }), asked]).toEqual([418, 1]);
});
