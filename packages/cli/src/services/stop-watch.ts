/** Notices that a workspace is stopped or built anew while somebody is connected to it. */
import type { Deployment } from "coder-client/api";
import { watchWorkspace } from "coder-client/workspace-watch";
import type { WorkspaceRef } from "coder-client/workspaces";
import type { Logger } from "wg-userspace/base/ports";
import { EXIT, UserError } from "../errors/user-error.ts";

export interface StopWatchOptions {
  readonly deployment: Deployment;
  /** As it was when the connection was made. */
  readonly workspace: WorkspaceRef;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Resolves with the reason when the connection has no future; never when the signal aborts first. Never rejects. */
export function workspaceStopped(options: StopWatchOptions): Promise<UserError> {
  const { deployment, workspace, signal, logger } = options;
  return new Promise((resolve) => {
    watchWorkspace({
      deployment,
      workspaceId: workspace.id,
      signal,
      logger,
      onWorkspace: (now) => {
        const reason = reasonOf(workspace, now);
        if (reason !== undefined) resolve(reason);
      },
    }).catch((error: unknown) => {
      // Whoever may not see the workspace any more is not told what becomes of it; the tunnel is closed by the server.
      logger.log("debug", "the workspace is not watched any more", { error: String(error) });
    });
  });
}

/** A build that is merely stopping still answers. */
export function reasonOf(before: WorkspaceRef, now: WorkspaceRef): UserError | undefined {
  const ended = (title: string, next: string): UserError =>
    new UserError(title, { next: [next], code: "ERR_WORKSPACE_STOPPED", exit: EXIT.connectionLost });
  if (now.buildStatus === "deleted") return ended(`Workspace "${now.name}" was deleted`, "coder list");
  if (now.buildStatus === "stopped") return ended(`Workspace "${now.name}" was stopped`, `coder start ${now.name}`);
  if (now.buildId !== before.buildId && now.transition === "start")
    return ended(`Workspace "${now.name}" was started anew`, "connect again");
  return undefined;
}
