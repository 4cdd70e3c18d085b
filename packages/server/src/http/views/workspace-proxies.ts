import { PRIMARY_PROXY_NAME } from "coder-protocol/proxy-names";
import { ZERO_TIME } from "coder-protocol/rest/common";
import type { RegionsResponse } from "coder-protocol/rest/deployment";
import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { formatTime } from "../../base/clock.ts";
import { BUILD_VERSION } from "../../base/version.ts";
import type { WorkspaceProxyRow } from "../../db/schema.ts";
import type { DeploymentIds } from "../../db/store.ts";
import { UNCONFIRMED } from "../../workspace-proxies/app-proxies.ts";
import { healthOf, warningsOf } from "../../workspace-proxies/health-state.ts";

export type RegionView = RegionsResponse["regions"][number];

/** The data of the deployment itself, shown as the first of its regions. */
export interface PrimaryRegion {
  readonly deployment: DeploymentIds;
  readonly displayName: string;
  readonly icon: string;
  readonly pathAppUrl: string;
  readonly wildcardHostname: string;
  readonly derpEnabled: boolean;
}

export function primaryRegionView(primary: PrimaryRegion): RegionView {
  return {
    id: primary.deployment.deploymentId,
    name: PRIMARY_PROXY_NAME,
    display_name: primary.displayName,
    icon_url: primary.icon,
    healthy: true,
    path_app_url: primary.pathAppUrl,
    wildcard_hostname: primary.wildcardHostname,
  };
}

export function primaryProxyView(primary: PrimaryRegion, now: number): WorkspaceProxy {
  const createdAt = formatTime(primary.deployment.createdAt);
  return {
    ...primaryRegionView(primary),
    derp_enabled: primary.derpEnabled,
    derp_only: false,
    created_at: createdAt,
    updated_at: createdAt,
    deleted: false,
    version: BUILD_VERSION,
    status: { status: "ok", report: { errors: [], warnings: [] }, checked_at: formatTime(now) },
  };
}

export function proxyRegionView(row: WorkspaceProxyRow): RegionView {
  return {
    id: row.id,
    name: row.name,
    display_name: row.display_name,
    icon_url: row.icon,
    healthy: healthOf(row).status === "ok",
    path_app_url: row.url,
    wildcard_hostname: row.wildcard_hostname,
  };
}

export function proxyView(row: WorkspaceProxyRow, now: number): WorkspaceProxy {
  const health = healthOf(row);
  return {
    ...proxyRegionView(row),
    derp_enabled: row.derp_enabled === 1,
    derp_only: row.derp_only === 1,
    created_at: formatTime(row.created_at),
    updated_at: formatTime(row.updated_at),
    deleted: row.deleted_at !== null,
    version: row.version,
    status: {
      status: health.status,
      report: {
        errors: [...health.errors],
        warnings: [...warningsOf(health, now), ...(row.is_confirmed === 0 ? [UNCONFIRMED] : [])],
      },
      checked_at: health.checkedAt === undefined ? ZERO_TIME : formatTime(health.checkedAt),
    },
  };
}
