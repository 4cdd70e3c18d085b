import type { WorkspaceAgent } from "coder-protocol/rest/agents";
import type { Workspace } from "coder-protocol/rest/workspaces";

export function agentsOf(workspace: Workspace): readonly WorkspaceAgent[] {
  return workspace.latest_build.resources.flatMap(({ agents }) => agents ?? []);
}
