/**
 * Each event that ends a right, with every kind of connection that depends on one: connections that lose their right end, and the
 * others continue. Virtual time advances for rights that expire; every end is awaited for less than the period of the check that
 * runs without an event.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { SESSION_TOKEN_COOKIE, SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { DEFAULT_LIMITS } from "../../src/http/limits.ts";
import { addMember, login, openSocketOrFail, send } from "../helpers.ts";
import { TestPeer } from "../peers.ts";
import { type AppServer, signIn, startApps } from "./helpers.ts";

const SHARED = 9000;
const UNSHARED = 9001;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

interface Person {
  readonly id: string;
  readonly name: string;
  readonly token: string;
}

interface Scene {
  readonly apps: AppServer;
  /** A member who visits a port that is shared with every user for a minute. */
  readonly carol: Person;
  /** An owner of the deployment, who may use another user's workspace. */
  readonly bob: Person;
}

/** An open connection. */
interface Open {
  readonly closed: Promise<unknown>;
  /** Whether it has ended. */
  ended(): boolean;
}

async function scene(): Promise<Scene> {
  // The periodic check must not hide a missing event.
  const limits = { recheckMs: 600_000, heartbeatMs: 600_000 };
  const apps = await startApps({
    flags: {
      "session-duration": "720h",
      "disable-path-apps": "false",
      "dangerous-allow-path-app-sharing": "true",
      "dangerous-allow-path-app-site-owner-access": "true",
    },
    deps: { limits, tunnelConnectMs: 600_000 },
  });
  for (const port of [SHARED, UNSHARED]) {
    const program = await apps.program(port, (_request, response) =>
      response.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n"),
    );
    const sockets = new WebSocketServer({ noServer: true });
    program.on("upgrade", (request, socket, head) => sockets.handleUpgrade(request, socket, head, () => undefined));
  }
  const expires_at = new Date(apps.test.clock.now() + MINUTE_MS).toISOString();
  await share(apps, "authenticated", expires_at);
  const app = { slug: "web", url: `http://127.0.0.1:${UNSHARED}` };
  await owner(apps, "POST", `/workspaces/${apps.workspaceId}/apps`, app);
  const carol = { ...(await addMember(apps.test.url, apps.admin.token, "carol")), name: "carol" };
  await send(apps.test.url, "PUT", "/api/v2/users/bob/roles", { token: apps.admin.token, body: { roles: ["owner"] } });
  const bob = { id: apps.bob.id, name: "bob", token: await login(apps.test.url, "bob@example.com") };
  return { apps, carol, bob };
}

const owner = (apps: AppServer, method: string, path: string, body?: object) =>
  send(apps.test.url, method, `/api/v2${path}`, { token: apps.ada.token, body });

const admin = (apps: AppServer, method: string, path: string, body?: object) =>
  send(apps.test.url, method, `/api/v2${path}`, { token: apps.admin.token, body });

const share = (apps: AppServer, share_level: string, expires_at: string | null = null) =>
  owner(apps, "POST", `/workspaces/${apps.workspaceId}/port-share`, {
    agent_name: "main",
    port: SHARED,
    share_level,
    expires_at,
  });

/** A request whose answer never ends on its own. */
async function stream(apps: AppServer, host: string, path: string, headers: Record<string, string>): Promise<Open> {
  const request = httpRequest({ host: "127.0.0.1", port: apps.test.port, path, headers: { Host: host, ...headers } });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  if (response.statusCode !== 200) throw new Error(`${path}: status ${response.statusCode}`);
  response.on("error", () => undefined).resume();
  return tracked(new Promise((resolve) => response.on("close", resolve)));
}

async function socket(apps: AppServer, path: string, headers: Record<string, string>): Promise<Open> {
  return tracked((await openSocketOrFail(apps.test.url, path, headers)).closed);
}

function tracked(closed: Promise<unknown>): Open {
  let ended = false;
  void closed.then(() => {
    ended = true;
  });
  return { closed, ended: () => ended };
}

async function session(apps: AppServer, port: number, { token }: Person): Promise<Record<string, string>> {
  const host = apps.host(port);
  return { Host: host, Origin: `http://${host}`, Cookie: await signIn(apps, host, token) };
}

type Opener = (scene: Scene) => Promise<Open>;

const bobsSocket =
  (pathOf: (apps: AppServer) => string): Opener =>
  ({ apps, bob }) =>
    socket(apps, `/api/v2${pathOf(apps)}`, { [SESSION_TOKEN_HEADER]: bob.token });

const bobsStream =
  (pathOf: (apps: AppServer) => string): Opener =>
  ({ apps, bob }) =>
    stream(apps, `127.0.0.1:${apps.test.port}`, `/api/v2${pathOf(apps)}`, { [SESSION_TOKEN_HEADER]: bob.token });

const bobsPeer =
  (pathOf: (apps: AppServer) => string): Opener =>
  async ({ apps, bob }) => {
    const peer = await TestPeer.open(apps.test.url, bob.token, `/api/v2${pathOf(apps)}`, { version: "2.3" });
    return tracked(peer.connection.closed);
  };

const KINDS = {
  "shared app, events": async ({ apps, carol }) => {
    const { Host, ...headers } = await session(apps, SHARED, carol);
    return stream(apps, Host!, "/", headers);
  },
  "shared app, WebSocket": async ({ apps, carol }) => socket(apps, "/", await session(apps, SHARED, carol)),
  "app by role, events": async ({ apps, bob }) => {
    const { Host, ...headers } = await session(apps, UNSHARED, bob);
    return stream(apps, Host!, "/", headers);
  },
  "app by role, WebSocket": async ({ apps, bob }) => socket(apps, "/", await session(apps, UNSHARED, bob)),
  "app by role, token": ({ apps, bob }) =>
    stream(apps, apps.host(UNSHARED), "/", { [SESSION_TOKEN_HEADER]: bob.token }),
  "app below a path, events": ({ apps, bob }) =>
    stream(apps, `127.0.0.1:${apps.test.port}`, "/@owner/dev/apps/web/", {
      Cookie: `${SESSION_TOKEN_COOKIE}=${bob.token}`,
    }),
  "app below a path, WebSocket": ({ apps, bob }) =>
    socket(apps, "/@owner/dev/apps/web/", {
      Cookie: `${SESSION_TOKEN_COOKIE}=${bob.token}`,
      Origin: apps.test.url,
    }),
  terminal: bobsSocket(({ agentId }) => `/workspaceagents/${agentId}/pty?reconnect=${randomUUID()}`),
  "dashboard stream": bobsSocket(() => "/dashboard/stream"),
  "inbox, WebSocket": bobsSocket(() => "/notifications/inbox/watch"),
  "workspace, WebSocket": bobsSocket(({ workspaceId }) => `/workspaces/${workspaceId}/watch-ws`),
  "workspace, events": bobsStream(({ workspaceId }) => `/workspaces/${workspaceId}/watch`),
  "metadata, WebSocket": bobsSocket(({ agentId }) => `/workspaceagents/${agentId}/watch-metadata-ws`),
  "metadata, events": bobsStream(({ agentId }) => `/workspaceagents/${agentId}/watch-metadata`),
  "logs, WebSocket": bobsSocket(({ agentId }) => `/workspaceagents/${agentId}/logs?follow`),
  "tunnel to one agent": bobsPeer(({ agentId }) => `/workspaceagents/${agentId}/coordinate`),
  "tunnels to all": bobsPeer(() => "/tailnet"),
} satisfies Readonly<Record<string, Opener>>;

type Kind = keyof typeof KINDS;

const ALL = Object.keys(KINDS) as Kind[];
const CAROLS: readonly Kind[] = ["shared app, events", "shared app, WebSocket"];
const BOBS = ALL.filter((kind) => !CAROLS.includes(kind));
const APPS = ALL.filter((kind) => /app/.test(kind));
/** Connections that concern only the workspace. */
const OF_WORKSPACE = [...APPS, ...BOBS.filter((kind) => /terminal|workspace|metadata|logs|one agent/.test(kind))];

const build = (apps: AppServer, transition: string) =>
  owner(apps, "POST", `/workspaces/${apps.workspaceId}/builds`, { transition });

const EVENTS: [string, readonly Kind[], (scene: Scene) => Promise<unknown> | undefined][] = [
  ["bob logs out", BOBS, ({ apps, bob }) => send(apps.test.url, "POST", "/api/v2/users/logout", { token: bob.token })],
  ["bob's token is deleted", BOBS, ({ apps, bob }) => deleteKey(apps, bob)],
  ["bob is suspended", BOBS, ({ apps }) => admin(apps, "PUT", "/users/bob/status/suspend")],
  ["bob is deleted", BOBS, ({ apps }) => admin(apps, "DELETE", "/users/bob")],
  ["bob becomes a member", BOBS, ({ apps }) => admin(apps, "PUT", "/users/bob/roles", { roles: ["member"] })],
  [
    "bob gets another password",
    BOBS,
    ({ apps }) => admin(apps, "PUT", "/users/bob/password", { old_password: "", password: "another good passphrase" }),
  ],
  ["carol is suspended", CAROLS, ({ apps }) => admin(apps, "PUT", "/users/carol/status/suspend")],
  [
    "carol logs out",
    CAROLS,
    ({ apps, carol }) => send(apps.test.url, "POST", "/api/v2/users/logout", { token: carol.token }),
  ],
  ["the port is no longer shared", CAROLS, ({ apps }) => share(apps, "owner")],
  ["the share ends", CAROLS, async ({ apps }) => apps.test.clock.advance(MINUTE_MS)],
  // A connection to an app depends on the login behind the app's session.
  ["a day passes and logins continue", CAROLS, async ({ apps }) => apps.test.clock.advance(DAY_MS)],
  ["all logins end", ALL, async ({ apps }) => apps.test.clock.advance(31 * DAY_MS)],
  [
    "the workspace is renamed",
    APPS,
    ({ apps }) => owner(apps, "PATCH", `/workspaces/${apps.workspaceId}`, { name: "other" }),
  ],
  ["the workspace stops", APPS, ({ apps }) => build(apps, "stop")],
  ["the workspace is deleted", OF_WORKSPACE, ({ apps }) => build(apps, "delete")],
  [
    "the workspace's owner is suspended",
    APPS,
    ({ apps }) => admin(apps, "PUT", `/users/${apps.ada.id}/status/suspend`),
  ],
  [
    "the app is removed",
    ["app below a path, events", "app below a path, WebSocket"],
    ({ apps }) => owner(apps, "DELETE", `/workspaces/${apps.workspaceId}/apps/web`),
  ],
  [
    "only browsers may connect to the workspace",
    ["tunnel to one agent"],
    ({ apps }) => admin(apps, "PUT", `/workspaces/${apps.workspaceId}/connection-policy`, { policy: "browser_only" }),
  ],
];

async function deleteKey(apps: AppServer, { token }: Person) {
  return await admin(apps, "DELETE", `/users/bob/keys/${token.slice(0, 10)}`);
}

test.each(EVENTS)(
  "security S13: when %s, exactly the open connections that depend on it end",
  async (_event, ending, act) => {
    const there = await scene();
    await using apps = there.apps;
    const open = new Map<Kind, Open>();
    for (const kind of ALL) open.set(kind, await KINDS[kind](there));
    expect(ALL.filter((kind) => open.get(kind)!.ended())).toEqual([]);
    const answer = (await act(there)) as { status: number; text: string } | undefined;
    if (answer !== undefined && typeof answer === "object")
      expect([answer.status < 300, answer.text]).toEqual([true, expect.anything()]);
    const late = AbortSignal.timeout(DEFAULT_LIMITS.recheckMs * 2);
    await Promise.race([Promise.all(ending.map((kind) => open.get(kind)!.closed)), once(late, "abort")]);
    // By the time the server answers again, everything else that the event ends would have ended.
    await apps.send(`127.0.0.1:${apps.test.port}`, "/healthz");
    expect(ALL.filter((kind) => open.get(kind)!.ended())).toEqual(ALL.filter((kind) => ending.includes(kind)));
  },
);
