import type { AgentApp, WorkspaceApp } from "coder-protocol/rest/workspace-apps";
import { appLabel } from "../../base/app-name.ts";
import { declarationOf, pendingLevel } from "../../workspaces/app-rows.ts";
import type { PlacedApp } from "../../workspaces/declared-apps.ts";

export function appView({ row, place }: PlacedApp): WorkspaceApp {
  const requested = pendingLevel(row);
  const declared = declarationOf(row);
  const served = declared.subdomain && !declared.external && declared.url !== "";
  return {
    id: row.id,
    ...declared,
    display_name: declared.display_name === "" ? row.slug : declared.display_name,
    subdomain_name: served ? appLabel(row.slug, place) : "",
    health: row.health,
    statuses: [],
    ...(requested === undefined ? {} : { requested_level: requested }),
    source: row.source,
  };
}

export function agentAppView(app: PlacedApp): AgentApp {
  return { ...appView(app), agent_name: app.place.agent };
}
