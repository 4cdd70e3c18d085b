import type { WorkspaceListRow } from "coder-protocol/rest/dashboard";
import type { Workspace } from "coder-protocol/rest/workspaces";

/** A list row made from the whole view, without paths, which only the stream reports. */
export function listRow(workspace: Workspace): WorkspaceListRow {
  const agents = workspace.latest_build.resources.flatMap((resource) => resource.agents ?? []);
  return {
    id: workspace.id,
    name: workspace.name,
    owner_name: workspace.owner_name,
    status: workspace.latest_build.status,
    last_used_at: workspace.last_used_at,
    agents: agents.map(({ id, name, status, lifecycle_state, version }) => ({
      id,
      name,
      status,
      lifecycle_state,
      version,
      path: "unknown",
    })),
  };
}
