/** Declared apps as agents receive them, and the health that agents report. */
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  type BatchUpdateAppHealthRequest,
  type Manifest,
  WorkspaceApp_Health,
  WorkspaceApp_SharingLevel,
} from "coder-protocol/gen/agent_pb.js";
import type { AppHealth } from "coder-protocol/rest/workspace-apps";
import { type AppPlaceNames, appLabel } from "../base/app-name.ts";
import type { StoredManifest } from "../db/agent-manifest.ts";

const LEVELS = {
  owner: WorkspaceApp_SharingLevel.OWNER,
  organization: WorkspaceApp_SharingLevel.ORGANIZATION,
  authenticated: WorkspaceApp_SharingLevel.AUTHENTICATED,
  public: WorkspaceApp_SharingLevel.PUBLIC,
} as const;

const HEALTHS = {
  disabled: WorkspaceApp_Health.DISABLED,
  initializing: WorkspaceApp_Health.INITIALIZING,
  healthy: WorkspaceApp_Health.HEALTHY,
  unhealthy: WorkspaceApp_Health.UNHEALTHY,
} as const;

/** What an agent may report. "Disabled" is missing: whether an app is checked is not for the agent to decide. */
const REPORTED: ReadonlyMap<number, AppHealth> = new Map([
  [WorkspaceApp_Health.INITIALIZING, "initializing"],
  [WorkspaceApp_Health.HEALTHY, "healthy"],
  [WorkspaceApp_Health.UNHEALTHY, "unhealthy"],
]);

/** The part of the manifest that describes apps. */
export function appsForManifest(
  { place, apps }: Pick<StoredManifest, "place" | "apps">,
  portProxyAddress: (place: AppPlaceNames) => string,
) {
  if (place === undefined) return {};
  return {
    vsCodePortProxyUri: portProxyAddress(place),
    apps: apps.map((row) => ({
      id: uuidToBytes(row.id),
      url: row.url,
      external: row.external === 1,
      slug: row.slug,
      displayName: row.display_name || row.slug,
      command: row.command,
      icon: row.icon,
      subdomain: row.subdomain === 1,
      subdomainName: row.subdomain === 1 && row.external === 0 && row.url !== "" ? appLabel(row.slug, place) : "",
      sharingLevel: LEVELS[row.level],
      healthcheck: {
        url: row.health_url,
        interval: durationFromMs(row.health_interval_seconds * 1000),
        threshold: row.health_threshold,
      },
      health: HEALTHS[row.health],
      hidden: row.hidden === 1,
    })),
  } satisfies Partial<Record<keyof Manifest, unknown>>;
}

/** The updates that name a known app and a valid health. */
export function reportedHealths(
  updates: BatchUpdateAppHealthRequest["updates"],
): { readonly id: string; readonly health: AppHealth }[] {
  return updates.flatMap(({ id: bytes, health: reported }) => {
    const id = uuidFromBytes(bytes);
    const health = REPORTED.get(reported);
    return id === undefined || health === undefined ? [] : [{ id, health }];
  });
}
