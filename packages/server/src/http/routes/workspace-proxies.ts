/** The regions of the deployment for all users, and its workspace proxies for owners. */
import { PRIMARY_PROXY_NAME } from "coder-protocol/proxy-names";
import type { MessageBody } from "coder-protocol/rest/common";
import type { RegionsResponse } from "coder-protocol/rest/deployment";
import {
  createWorkspaceProxyRequest,
  type PatchWorkspaceProxyRequest,
  patchWorkspaceProxyRequest,
  type UpdateWorkspaceProxyResponse,
  type WorkspaceProxiesResponse,
} from "coder-protocol/rest/workspace-proxies";
import type { Context } from "hono";
import type { WallClock } from "../../base/clock.ts";
import type { OwnAddresses } from "../../base/own-addresses.ts";
import type { ServerConfig } from "../../config/parse.ts";
import type { WorkspaceProxyRow } from "../../db/schema.ts";
import type { Settings } from "../../db/settings.ts";
import type { DeploymentIds } from "../../db/store.ts";
import type { ProxyServices } from "../../workspace-proxies/proxy-services.ts";
import { HttpFailure } from "../failure.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { RequestAudit } from "../request-audit.ts";
import {
  type PrimaryRegion,
  primaryProxyView,
  primaryRegionView,
  proxyRegionView,
  proxyView,
  type RegionView,
} from "../views/workspace-proxies.ts";
import { applicationsHost } from "./applications.ts";

const PRIMARY_DISPLAY_NAME = "Default";

export interface WorkspaceProxyRoutesDeps {
  readonly user: Guard;
  readonly proxies: Pick<ProxyServices, "administration" | "directory" | "mayServe">;
  readonly settings: Settings;
  readonly config: Pick<ServerConfig, "wildcardAccessUrl" | "derp" | "pathApps">;
  readonly deployment: DeploymentIds;
  readonly addresses: Pick<OwnAddresses, "browserUrl">;
  readonly audit: RequestAudit;
  readonly clock: WallClock;
  readonly bodyBytes: number;
}

export function workspaceProxyRoutes(router: Router, deps: WorkspaceProxyRoutesDeps): void {
  const { user, settings, config, deployment, addresses, audit, clock, bodyBytes } = deps;
  const { administration, directory, mayServe } = deps.proxies;

  const primary = async (): Promise<PrimaryRegion> => ({
    deployment,
    displayName: (await settings.read("primary_display_name")) ?? PRIMARY_DISPLAY_NAME,
    icon: (await settings.read("primary_icon")) ?? "",
    pathAppUrl: addresses.browserUrl().origin,
    wildcardHostname: applicationsHost(config.wildcardAccessUrl, addresses.browserUrl()),
    derpEnabled: config.derp.serverEnabled,
  });
  /** A proxy serves apps below paths only if the deployment allows such apps at all. */
  const belowPaths = !config.pathApps.disabled;
  const proxyRegion = (row: WorkspaceProxyRow): RegionView => ({
    ...proxyRegionView(row),
    path_apps: belowPaths && row.path_apps === 1,
  });
  /** Browsers are not sent to a proxy that an owner has not confirmed. */
  const regionOfApps = (row: WorkspaceProxyRow): RegionView => {
    const region = proxyRegion(row);
    return { ...region, healthy: region.healthy && mayServe(row) };
  };
  const answer = (proxy: WorkspaceProxyRow, token: string): UpdateWorkspaceProxyResponse => ({
    proxy: proxyView(proxy, clock.now()),
    proxy_token: token,
  });
  /** The proxy named in the path; undefined for the primary. */
  const pathProxy = async (c: Context<HttpEnv>): Promise<WorkspaceProxyRow | undefined> => {
    const which = c.req.param("proxy") ?? "";
    if (which.toLowerCase() === PRIMARY_PROXY_NAME || which.toLowerCase() === deployment.deploymentId) return undefined;
    const proxy = await administration.find(which);
    if (proxy === undefined)
      throw new HttpFailure(404, `There is no workspace proxy "${which.slice(0, 64)}"`, {
        detail: "GET /api/v2/workspaceproxies lists them",
      });
    return proxy;
  };

  router.get("/regions", user, async (c) => {
    // Proxies that only relay have no apps; commands list them as regions of the relay map.
    const listed =
      c.req.query("derp_only") === "true"
        ? directory.all.map((row) => ({ ...proxyRegion(row), derp_only: row.derp_only === 1 }))
        : directory.all.filter(({ derp_only: derpOnly }) => derpOnly === 0).map(regionOfApps);
    const own = { ...primaryRegionView(await primary()), path_apps: belowPaths };
    const body: RegionsResponse = { regions: [own, ...listed] };
    return c.json(body);
  });

  router.get("/workspaceproxies", user, requireOwner, async (c) => {
    const now = clock.now();
    const body: WorkspaceProxiesResponse = {
      regions: [primaryProxyView(await primary(), now), ...directory.all.map((row) => proxyView(row, now))],
    };
    return c.json(body);
  });

  router.post("/workspaceproxies", user, requireOwner, async (c) => {
    const {
      name,
      display_name: displayName = "",
      icon = "",
    } = await readJson(c, createWorkspaceProxyRequest, bodyBytes);
    const { proxy, token } = await administration.create({ name, displayName, icon });
    audit.record(c, { action: "proxy-created", facts: { proxy: proxy.name, proxy_id: proxy.id } });
    return c.json(answer(proxy, token), 201);
  });

  router.get("/workspaceproxies/:proxy", user, requireOwner, async (c) => {
    const proxy = await pathProxy(c);
    return c.json(proxy === undefined ? primaryProxyView(await primary(), clock.now()) : proxyView(proxy, clock.now()));
  });

  router.patch("/workspaceproxies/:proxy", user, requireOwner, async (c) => {
    const target = await pathProxy(c);
    const change = await readJson(c, patchWorkspaceProxyRequest, bodyBytes);
    if (target === undefined) {
      await editPrimary(settings, change);
      const body: UpdateWorkspaceProxyResponse = {
        proxy: primaryProxyView(await primary(), clock.now()),
        proxy_token: "",
      };
      audit.record(c, { action: "proxy-changed", facts: { proxy: PRIMARY_PROXY_NAME } });
      return c.json(body);
    }
    const { proxy, token } = await administration.edit(target.id, change);
    const action = token === "" ? "proxy-changed" : "proxy-token-replaced";
    audit.record(c, { action, facts: { proxy: proxy.name, proxy_id: proxy.id } });
    return c.json(answer(proxy, token));
  });

  router.delete("/workspaceproxies/:proxy", user, requireOwner, async (c) => {
    const proxy = await pathProxy(c);
    if (proxy === undefined) throw new HttpFailure(400, "Cannot delete primary proxy");
    await administration.remove(proxy.id);
    audit.record(c, { action: "proxy-deleted", facts: { proxy: proxy.name, proxy_id: proxy.id } });
    const body: MessageBody = { message: "Proxy has been deleted!" };
    return c.json(body);
  });
}

async function editPrimary(settings: Settings, change: PatchWorkspaceProxyRequest): Promise<void> {
  const { name = "", display_name: displayName = "", icon = "" } = change;
  if (name !== "" && name !== PRIMARY_PROXY_NAME)
    throw refusal("Cannot update name of default primary proxy, did you mean to update the 'display name'?", [
      { field: "name", detail: "Cannot update name of default primary proxy" },
    ]);
  if (change.regenerate_token === true)
    throw refusal("The primary has no proxy token.", [{ field: "regenerate_token", detail: "The primary has none" }]);
  if (displayName === "" && icon === "")
    throw refusal("No update arguments provided. Nothing to do.", [
      { field: "display_name", detail: "No value provided." },
      { field: "icon", detail: "No value provided." },
    ]);
  if (displayName !== "") await settings.replace("primary_display_name", displayName);
  if (icon !== "") await settings.replace("primary_icon", icon);
}

function refusal(message: string, validations: { field: string; detail: string }[]): HttpFailure {
  return new HttpFailure(400, message, { validations });
}
