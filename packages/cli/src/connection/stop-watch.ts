/** Notices that a connection has no future: its workspace is stopped or rebuilt, or the access to it was revoked. */

import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { Deployment } from "coder-client/rest/deployment";
import { watchWorkspace } from "coder-client/rest/workspace-watch";
import type { WorkspaceRef } from "coder-client/rest/workspaces";
import { onAbort } from "wg-userspace/async/abort";
import type { Logger } from "wg-userspace/base/ports";
import { EXIT, UserError } from "../errors/user-error.ts";

export interface StopWatchOptions {
  readonly deployment: Deployment;
  /** The workspace as it was when the connection was made. */
  readonly workspace: WorkspaceRef;
  readonly connection: Pick<WorkspaceConnection, "accessSignal">;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Resolves with the reason when the connection has no future; never when the signal aborts first. Never rejects. */
export function workspaceStopped(options: StopWatchOptions): Promise<Error> {
  const { deployment, workspace, signal, logger } = options;
  const { accessSignal } = options.connection;
  return new Promise((resolve) => {
    onAbort(accessSignal, () => resolve(accessSignal.reason as Error));
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
      // A user who may no longer see the workspace gets no reports about it; the tunnel itself shows whether the access
      // continues.
      logger.log("debug", "the workspace is not watched any more", { error: String(error) });
    });
  });
}

export interface ConnectionWatch {
  /** Aborts with the given signal, or with the reason why there is no connection any more. */
  readonly signal: AbortSignal;
  /** Throws that reason. For callers whose work treats the abort as an ordinary end. */
  throwIfOver(): void;
  stop(): void;
}

/** For work that should end when its connection has no future. */
export function watchConnection(options: StopWatchOptions): ConnectionWatch {
  const stopped = new AbortController();
  const over = new AbortController();
  void workspaceStopped({ ...options, signal: stopped.signal }).then((reason) => over.abort(reason));
  return {
    signal: AbortSignal.any([options.signal, over.signal]),
    throwIfOver: () => {
      if (!options.signal.aborted) over.signal.throwIfAborted();
    },
    stop: () => stopped.abort(),
  };
}

/** Undefined while a build is still stopping: its agent answers until it has stopped. */
export function reasonOf(before: WorkspaceRef, now: WorkspaceRef): UserError | undefined {
  const ended = (title: string, next: string): UserError =>
    new UserError(title, { next: [next], code: "ERR_WORKSPACE_STOPPED", exit: EXIT.connectionLost });
  if (now.buildStatus === "deleted") return ended(`Workspace "${now.name}" was deleted`, "coder list");
  if (now.buildStatus === "stopped") return ended(`Workspace "${now.name}" was stopped`, `coder start ${now.name}`);
  if (now.buildId !== before.buildId && now.transition === "start")
    return ended(`Workspace "${now.name}" was restarted`, "connect again");
  return undefined;
}
