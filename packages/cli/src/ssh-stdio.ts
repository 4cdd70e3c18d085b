/**
 * The lean start of `ssh --stdio`, which copies bytes between standard input and output and the workspace's SSH server. OpenSSH
 * runs it for every ssh, scp, git and editor window, so it loads nothing but the engine and the client library.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { SSH_PORT } from "coder-protocol/tunnel-ports";
import { drainInto } from "wg-userspace/io/sockets/drain-into";
import { say } from "./base/say.ts";
import { connectWorkspace } from "./connection/connect.ts";
import { reportConnection } from "./connection/network-info.ts";
import { workspaceStopped } from "./connection/stop-watch.ts";
import { writeBugReport } from "./errors/bug-report.ts";
import { isCancelled, renderUserError, toUserError } from "./errors/present.ts";
import { UsageError } from "./errors/usage-error.ts";
import { EXIT } from "./errors/user-error.ts";
import { deploymentOptions, GLOBAL_FLAGS } from "./flags/global.ts";
import { readShaped } from "./flags/lean-values.ts";
import { shapeLine } from "./flags/line.ts";
import { SSH_FLAGS, sshConnectOptions, sshReportOptions } from "./flags/ssh.ts";
import { openDeployment } from "./rest/deployment.ts";
import { Ending } from "./ui/ending.ts";
import { createLogger } from "./ui/logger.ts";

/** How long to wait for the reason why a connection ended. */
const REASON_WAIT_MS = 2_000;

export function runStdio(argv: readonly string[]): void {
  const ending = new Ending({ service: false });
  stdio(argv, ending.signal)
    .then(
      () => EXIT.ok,
      (error: unknown) => failed(error, ending.signal),
    )
    .then((code) => ending.end(code))
    .catch(() => process.exit(EXIT.bug));
}

async function stdio(argv: readonly string[], signal: AbortSignal): Promise<void> {
  const definitions = { ...SSH_FLAGS, ...GLOBAL_FLAGS };
  const line = shapeLine(definitions, argv, process.env);
  const flags = readShaped(definitions, line);
  const [name] = line.words;
  if (name === undefined) throw new UsageError("which workspace? usage: coder ssh <workspace> [command …]");
  const logger = createLogger({ verbose: flags.verbose, logDir: flags["log-dir"] });
  const deployment = openDeployment(deploymentOptions(flags));
  const { connection, workspace } = await connectWorkspace({
    ...sshConnectOptions(name, flags),
    deployment,
    firstPort: SSH_PORT,
    signal,
    logger,
    onStage: (text) => logger.log("debug", text),
    warn: say,
    onStartupLog: (text) => void process.stderr.write(`${text}\n`),
  });
  const stopReporting = reportConnection({
    ...sshReportOptions(flags),
    connection,
    workspace: workspace.name,
    command: "ssh --stdio",
    logger,
  });
  const over = new AbortController();
  try {
    const stream = await connection.dial(SSH_PORT, { signal });
    logger.log("debug", "connected", { path: connection.describePath() });
    const stopped = workspaceStopped({ deployment, workspace, connection, signal: over.signal, logger }).then(
      (reason) => {
        throw reason;
      },
    );
    // OpenSSH closes its end when the session is over; nothing is left to do then.
    await Promise.race([
      stopped,
      drainInto(process.stdin, stream, { signal })
        .then(() => drained(stream))
        .catch((error: unknown) => failedStream(error, signal)),
      drainInto(stream, process.stdout, { signal, end: false }).then(
        async () => {
          // When the workspace ends the connection first, the reason may arrive a moment later.
          if (!process.stdin.readableEnded) await sleep(REASON_WAIT_MS);
        },
        (error: unknown) => failedStream(error, signal),
      ),
    ]);
  } finally {
    over.abort();
    stopReporting();
    await connection.close();
  }
}

/** Waits for the reason of a broken stream, unless this side ended it. */
async function failedStream(error: unknown, signal: AbortSignal): Promise<never> {
  if (!signal.aborted && (error as NodeJS.ErrnoException).code !== "EPIPE") await sleep(REASON_WAIT_MS);
  throw error;
}

/** After the local end closed, the other direction still waits for the workspace's remaining data. */
function drained(stream: NodeJS.ReadableStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once("end", resolve);
    stream.once("close", resolve);
  });
}

function failed(error: unknown, signal: AbortSignal): number {
  if (isCancelled(error) || signal.aborted) return EXIT.cancelled;
  // The reader of our output closed it: the ordinary end of a ProxyCommand.
  if ((error as NodeJS.ErrnoException).code === "EPIPE") return EXIT.ok;
  const known = toUserError(error);
  if (known !== undefined) {
    process.stderr.write(`${renderUserError(known)}\n`);
    // OpenSSH's own exit status for a connection that could not be made.
    return known.code === "ERR_BROWSER_ONLY" ? EXIT.connectionLost : known.exit;
  }
  const { path, text } = writeBugReport(error);
  say(`Unexpected error: ${String(error)}; report ${path ?? text}`);
  return EXIT.bug;
}
