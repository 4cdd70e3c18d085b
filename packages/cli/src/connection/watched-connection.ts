/** A connection to a workspace for one command. Each ends when the other does. */
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { WorkspaceRef } from "coder-client/rest/workspaces";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { createLogger } from "../ui/logger.ts";
import { type ConnectRequest, connectWorkspace } from "./connect.ts";
import { watchConnection } from "./stop-watch.ts";

export interface WatchedRequest
  extends Omit<ConnectRequest, "deployment" | "logger" | "onStage" | "onStartupLog" | "signal" | "warn"> {
  readonly deployment: DeploymentOptions;
  readonly verbose: boolean;
}

export interface WatchedConnection extends AsyncDisposable {
  readonly connection: WorkspaceConnection;
  readonly workspace: WorkspaceRef;
  /** Aborts with the command, and with the reason why there is no connection any more. */
  readonly signal: AbortSignal;
  /** Throws that reason. For callers whose work treats the abort as an ordinary end. */
  throwIfOver(): void;
  stopWatching(): void;
}

export async function openWatched(
  { deployment: options, verbose, ...request }: WatchedRequest,
  { stages, say }: Pick<Display, "stages" | "say">,
  signal: AbortSignal,
): Promise<WatchedConnection> {
  const deployment = openDeployment(options);
  const logger = createLogger({ verbose, logDir: undefined });
  const { connection, workspace } = await connectWorkspace({
    ...request,
    deployment,
    signal,
    logger,
    onStage: (text) => stages.set(text),
    warn: say,
  }).finally(() => stages.clear());
  const watch = watchConnection({ deployment, workspace, connection, signal, logger });
  return {
    connection,
    workspace,
    signal: watch.signal,
    throwIfOver: () => watch.throwIfOver(),
    stopWatching: () => watch.stop(),
    async [Symbol.asyncDispose]() {
      watch.stop();
      await connection.close();
    },
  };
}
