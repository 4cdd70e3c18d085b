import type { ShareLevel } from "coder-protocol/rest/apps";
import type { AgentApp, WorkspaceApp } from "coder-protocol/rest/workspace-apps";
import { appLabel } from "../../base/app-name.ts";
import { narrowerLevel } from "../../base/share-level.ts";
import { declarationOf, pendingLevel } from "../../workspaces/app-rows.ts";
import type { PlacedApp } from "../../workspaces/declared-apps.ts";

/** @param maxLevel The widest level that the administrator allows. */
export function appView({ row, place }: PlacedApp, maxLevel: ShareLevel): WorkspaceApp {
  const requested = pendingLevel(row);
  const declared = declarationOf(row);
  const served = declared.subdomain && !declared.external && declared.url !== "";
  return {
    id: row.id,
    ...declared,
    display_name: declared.display_name === "" ? row.slug : declared.display_name,
    subdomain_name: served ? appLabel(row.slug, place) : "",
    effective_level: narrowerLevel(row.level, maxLevel),
    health: row.health,
    statuses: [],
    requested_level: requested,
    source: row.source,
  };
}

export function agentAppView(app: PlacedApp, maxLevel: ShareLevel): AgentApp {
  return { ...appView(app, maxLevel), agent_name: app.place.agent };
}
