/** Every combination of visitor, kind of access and sharing, compared with an oracle that is implemented independently. */
import type { ShareLevel } from "coder-protocol/rest/apps";
import { expect, test } from "vitest";
import { SHARE_LEVELS } from "../../src/base/share-level.ts";
import { send } from "../helpers.ts";
import { type AppServer, startApps } from "./helpers.ts";

const VISITORS = ["owner", "other", "admin", "anonymous", "suspended", "apps-only owner", "apps-only other"] as const;
type Visitor = (typeof VISITORS)[number];
const WAYS = ["port", "subdomain", "path"] as const;
type Way = (typeof WAYS)[number];

interface Deployment {
  readonly cap: ShareLevel;
  readonly sharing: boolean;
  readonly siteOwner: boolean;
}

interface Case extends Deployment {
  readonly visitor: Visitor;
  readonly way: Way;
  readonly level: ShareLevel;
  readonly expired: boolean;
}

/** What the documentation promises, written without reference to the code. */
function expected({ visitor, way, level, expired, cap, sharing, siteOwner }: Case): number {
  const order: ShareLevel[] = ["owner", "organization", "authenticated", "public"];
  const ofApp = order[Math.min(order.indexOf(level), order.indexOf(cap))]!;
  const shared = (way === "path" && !sharing) || (way === "port" && expired) ? "owner" : ofApp;
  const keyForApps = visitor.startsWith("apps-only");
  if (way === "path" && keyForApps) return 403;
  // A refused token opens nothing, not even what is public; below a path, public apps need no login and ignore it.
  if (visitor === "suspended") return way === "path" && shared === "public" ? 200 : 401;
  if (shared === "public") return 200;
  if (visitor === "anonymous") return 401;
  if (visitor === "owner" || visitor === "apps-only owner") return 200;
  if (visitor === "admin" && (way !== "path" || siteOwner)) return 200;
  return shared === "owner" ? 404 : 200;
}

async function tokens(apps: AppServer): Promise<Record<Visitor, string | undefined>> {
  const { store } = apps.test.server.parts;
  const restricted = async (token: string): Promise<string> => {
    const login = await send(apps.test.url, "POST", "/api/v2/users/me/keys/tokens", { token, body: { lifetime: 0 } });
    const key = (await store.apiKeys.byId(login.json.key.slice(0, 10)))!;
    await store.apiKeys.remove(key.id);
    await store.apiKeys.insert({ ...key, scope: "application_connect" });
    return login.json.key;
  };
  const { addMember } = await import("../helpers.ts");
  const gone = await addMember(apps.test.url, apps.admin.token, "gone");
  await send(apps.test.url, "PUT", `/api/v2/users/${gone.id}/status/suspend`, { token: apps.admin.token });
  return {
    owner: apps.ada.token,
    other: apps.bob.token,
    admin: apps.admin.token,
    anonymous: undefined,
    suspended: gone.token,
    "apps-only owner": await restricted(apps.ada.token),
    "apps-only other": await restricted(apps.bob.token),
  };
}

async function shareAll(apps: AppServer, expired: boolean): Promise<void> {
  const { store, clock, changes } = apps.test.server.parts;
  const now = clock.now();
  for (const [n, level] of SHARE_LEVELS.entries()) {
    const row = (await store.apps.find(apps.workspaceId, level))!;
    await store.apps.update(row.id, { level });
    await store.portShares.put({
      workspace_id: apps.workspaceId,
      agent_name: "main",
      port: 9000 + n,
      protocol: "http",
      level,
      label: "",
      expires_at: expired ? now : null,
      host_header: "preserve",
      cors: "simple",
      cors_origins: "",
      also: "",
      identity_headers: 0,
      created_by: apps.ada.id,
      created_at: now,
    });
  }
  changes.publish({ kind: "workspace", workspaceId: apps.workspaceId });
}

const DEPLOYMENTS: readonly Deployment[] = SHARE_LEVELS.flatMap((cap): Deployment[] => [
  { cap, sharing: false, siteOwner: false },
  { cap, sharing: true, siteOwner: true },
]);

test.each(DEPLOYMENTS)(
  "security S12: the whole grid with the cap $cap, sharing below paths $sharing",
  async (deployment) => {
    await using apps = await startApps({
      flags: {
        "max-share-level": deployment.cap,
        "disable-path-apps": "false",
        "dangerous-allow-path-app-sharing": String(deployment.sharing),
        "dangerous-allow-path-app-site-owner-access": String(deployment.siteOwner),
      },
    });
    for (const [n, slug] of SHARE_LEVELS.entries()) {
      await apps.program(9000 + n, (_request, response) => response.end("ok"));
      const body = { slug, url: `http://127.0.0.1:${9000 + n}` };
      await send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/apps`, { token: apps.ada.token, body });
    }
    const by = await tokens(apps);
    const wrong: string[] = [];
    let count = 0;
    for (const expired of [false, true]) {
      await shareAll(apps, expired);
      for (const [n, level] of SHARE_LEVELS.entries()) {
        for (const way of WAYS) {
          for (const visitor of VISITORS) {
            const host = way === "path" ? `127.0.0.1:${apps.test.port}` : apps.host(way === "port" ? 9000 + n : level);
            const path = way === "path" ? `/@owner/dev/apps/${level}/` : "/";
            const token = by[visitor];
            const { status } = await apps.send(host, path, token === undefined ? {} : { token });
            const wanted = expected({ ...deployment, visitor, way, level, expired });
            count++;
            if (status !== wanted)
              wrong.push(`${visitor} ${way} ${level}${expired ? " expired" : ""}: ${status}, not ${wanted}`);
          }
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(count).toBe(2 * SHARE_LEVELS.length * WAYS.length * VISITORS.length);
  },
);

test("security S12: a workspace that is stopped serves none of its apps", async () => {
  await using apps = await startApps({ flags: { "disable-path-apps": "false" } });
  await apps.program(9000, (_request, response) => response.end("ok"));
  const body = { slug: "web", url: "http://127.0.0.1:9000", sharing_level: "public" };
  await send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/apps`, { token: apps.ada.token, body });
  const { token } = apps.ada;
  await send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/builds`, {
    token,
    body: { transition: "stop" },
  });
  for (const host of [apps.host("web"), apps.host(9000)])
    expect((await apps.send(host, "/", { token })).status).toBe(503);
  expect((await apps.send(`127.0.0.1:${apps.test.port}`, "/@owner/dev/apps/web/", { token })).status).toBe(503);
  await send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/builds`, {
    token,
    body: { transition: "delete" },
  });
  expect((await apps.send(apps.host("web"), "/", { token })).status).toBe(404);
  expect((await apps.send(`127.0.0.1:${apps.test.port}`, "/@owner/dev/apps/web/", { token })).status).toBe(404);
});
