/** The work of `coder ssh`: connects, runs the plan, and finds out why a session ended. */
import { setTimeout as sleep } from "node:timers/promises";
import { SSH_PORT } from "coder-protocol/tunnel-ports";
import { type ConnectRequest, connectWorkspace } from "../connection/connect.ts";
import { type ReportOptions, reportConnection } from "../connection/network-info.ts";
import { workspaceStopped } from "../connection/stop-watch.ts";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import type { Display } from "../ui/display.ts";
import { createLogger } from "../ui/logger.ts";
import { runOnConnection } from "./on-connection.ts";
import { planSession, type SessionRequest } from "./plan.ts";
import { resumeShell } from "./resume.ts";

/** How long to wait for the reason of a session's end. */
const REASON_WAIT_MS = 1_000;

export interface SshOptions {
  readonly deployment: DeploymentOptions;
  readonly connect: Pick<
    ConnectRequest,
    | "name"
    | "hostPrefix"
    | "hostnameSuffix"
    | "wait"
    | "timeoutMs"
    | "autostart"
    | "disableDirect"
    | "region"
    | "telemetry"
  >;
  readonly report: Pick<ReportOptions, "networkInfoDir" | "intervalMs" | "configDir">;
  readonly session: SessionRequest;
  readonly verbose: boolean;
  /** Folder for a log file of the connection. */
  readonly logDir: string | undefined;
}

/** Returns the remote program's exit code. */
export async function runSsh(
  options: SshOptions,
  { stages, say, sayPainted }: Display,
  signal: AbortSignal,
): Promise<number> {
  const plan = planSession(options.session);
  const logger = createLogger({ verbose: options.verbose, logDir: options.logDir });
  const deployment = openDeployment(options.deployment);
  try {
    const connected = await connectWorkspace({
      ...options.connect,
      firstPort: plan.resume ? undefined : SSH_PORT,
      deployment,
      signal,
      logger,
      onStage: (text) => stages.set(text),
      warn: say,
      onStartupLog: (text) => {
        stages.clear();
        sayPainted(text);
      },
    });
    const { connection, workspace } = connected;
    await using _closing = connection;
    using _reporting = disposable(
      reportConnection({ ...options.report, connection, workspace: workspace.name, command: "ssh", logger }),
    );
    stages.set("Opening the session");
    const over = new AbortController();
    using _watching = disposable(() => over.abort());
    const around = { stages, logger, signal: AbortSignal.any([signal, over.signal]) };
    const session = runOnConnection(plan, connected, around, (streams) =>
      resumeShell(plan.command, connected, options.report.configDir, streams),
    );
    const watch = { deployment, workspace, connection, signal: over.signal, logger };
    const stopped = workspaceStopped(watch).then(async (reason) => {
      over.abort(reason);
      await session.catch(() => undefined); // it restores the terminal; only the reason matters now
      throw reason;
    });
    const { code, orderly } = await Promise.race([session, stopped]);
    // Stopping a workspace ends its programs, so the reason may arrive a moment after the end.
    if (!orderly && !signal.aborted) await Promise.race([stopped, sleep(REASON_WAIT_MS, undefined, { ref: false })]);
    signal.throwIfAborted();
    return code;
  } finally {
    stages.clear();
  }
}

function disposable(end: () => void): Disposable {
  return { [Symbol.dispose]: end };
}
