import type { WorkspaceStatus } from "coder-protocol/rest/workspaces";
import type { WorkspaceBuildRow } from "../db/schema.ts";

const STATUS_OF: Readonly<Record<WorkspaceBuildRow["transition"], WorkspaceStatus>> = {
  start: "running",
  stop: "stopped",
  delete: "deleted",
};

/** The status of a workspace with this latest build. */
export function buildStatus(build: WorkspaceBuildRow): WorkspaceStatus {
  return STATUS_OF[build.transition];
}
