/** What agents receive about declared apps, and the health that they report. */
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  Agent,
  WorkspaceApp_Health as Health,
  WorkspaceApp_SharingLevel as Level,
} from "coder-protocol/gen/agent_pb.js";
import { expect, test } from "vitest";
import { addWorkspace, agentToken, send } from "../helpers.ts";
import { dial } from "../peers.ts";
import { type AppServer, startApps } from "./helpers.ts";

const url = "http://127.0.0.1:8080";

async function agentOf(apps: AppServer, workspaceId = apps.workspaceId) {
  const token = await agentToken(apps.test.url, apps.ada.token, workspaceId);
  return await dial(apps.test.url, token, "/api/v2/workspaceagents/me/rpc");
}

const add = (apps: AppServer, body: object) =>
  send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/apps`, { token: apps.ada.token, body });

async function healthOf(apps: AppServer): Promise<Record<string, string>> {
  const path = `/api/v2/workspaces/${apps.workspaceId}/apps`;
  const { json } = await send(apps.test.url, "GET", path, { token: apps.ada.token });
  return Object.fromEntries(json.apps.map((app: { slug: string; health: string }) => [app.slug, app.health]));
}

const checked = { healthcheck: { url: `${url}/up`, interval: 5, threshold: 3 } };

test("the manifest has the apps, and the address of ports", async () => {
  await using apps = await startApps();
  await add(apps, {
    slug: "web",
    url,
    display_name: "Web",
    icon: "/icon/code.svg",
    sharing_level: "public",
    ...checked,
  });
  await add(apps, { slug: "top", command: "htop", hidden: true });
  const connection = await agentOf(apps);
  const manifest = await connection.rpc.unary(Agent.method.getManifest, {});
  expect(manifest.vsCodePortProxyUri).toBe(`http://{{port}}--main--dev--owner.coder.localhost:${apps.test.port}`);
  expect(manifest.apps).toMatchObject([
    {
      slug: "web",
      url,
      displayName: "Web",
      icon: "/icon/code.svg",
      subdomain: true,
      subdomainName: "web--main--dev--owner",
      sharingLevel: Level.PUBLIC,
      health: Health.INITIALIZING,
      healthcheck: { url: `${url}/up`, interval: { seconds: 5n, nanos: 0 }, threshold: 3 },
      hidden: false,
    },
    { slug: "top", command: "htop", subdomainName: "", health: Health.DISABLED, hidden: true },
  ]);
  await connection.close();
});

test("without a wildcard the manifest has no address of ports", async () => {
  await using apps = await startApps({ flags: { "wildcard-access-url": "" } });
  const connection = await agentOf(apps);
  expect((await connection.rpc.unary(Agent.method.getManifest, {})).vsCodePortProxyUri).toBe("");
  await connection.close();
});

test("health is stored, wakes the workspace's watchers, and is accepted only for the agent's own apps", async () => {
  await using apps = await startApps();
  const web = (await add(apps, { slug: "web", url, ...checked })).json;
  const plain = (await add(apps, { slug: "plain", url })).json;
  const other = await addWorkspace(apps.test.url, apps.ada.token, "other");
  let changes = 0;
  apps.test.server.parts.changes.subscribe(`workspace:${apps.workspaceId}`, () => changes++);
  const connection = await agentOf(apps);
  const stranger = await agentOf(apps, other.id);
  const report = (from: typeof connection, id: string, health: Health) =>
    from.rpc.unary(Agent.method.batchUpdateAppHealths, { updates: [{ id: uuidToBytes(id), health }] });
  const before = changes;
  await report(connection, web.id, Health.HEALTHY);
  expect([await healthOf(apps), changes - before]).toEqual([{ web: "healthy", plain: "disabled" }, 1]);
  await report(connection, web.id, Health.HEALTHY);
  expect(changes - before).toBe(1);
  await report(connection, web.id, Health.DISABLED);
  await report(connection, web.id, Health.HEALTH_UNSPECIFIED);
  await report(connection, plain.id, Health.HEALTHY);
  await report(stranger, web.id, Health.UNHEALTHY);
  await connection.rpc.unary(Agent.method.batchUpdateAppHealths, {
    updates: [
      { id: new Uint8Array(3), health: Health.UNHEALTHY },
      { id: uuidToBytes(apps.agentId), health: Health.UNHEALTHY },
    ],
  });
  expect([await healthOf(apps), changes - before]).toEqual([{ web: "healthy", plain: "disabled" }, 1]);
  await report(connection, web.id, Health.UNHEALTHY);
  expect(await healthOf(apps)).toEqual({ web: "unhealthy", plain: "disabled" });
  const manifest = await connection.rpc.unary(Agent.method.getManifest, {});
  expect(manifest.apps.map(({ id }) => uuidFromBytes(id))).toEqual([web.id, plain.id]);
  await connection.close();
  await stranger.close();
});
