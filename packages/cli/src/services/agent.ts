import { join, resolve } from "node:path";
import { becomeReaper } from "coder-agent/host/reaper";
import { createAgentLogger } from "coder-agent/logger";
import { runAgent } from "coder-agent/main";
import { ClientError } from "coder-client/base/client-error";
import { reportFailure } from "../errors/report.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import { booleanFlag, type FlagValues, listFlag, numberFlag, stringFlag } from "../flags/spec.ts";
import { VERSION } from "../version.ts";
import { agentToken, agentUrl } from "./agent-identity.ts";
import { dialerOf, headerSource } from "./deployment.ts";

/**
 * Runs the agent until the signal ends it. Returns the exit code, after saying what went wrong: this is a bundle of its
 * own, whose error classes the caller does not know.
 */
export async function runAgentCommand(flags: FlagValues, signal: AbortSignal): Promise<number> {
  try {
    await startAgent(flags, signal);
    return EXIT.ok;
  } catch (error) {
    return reportFailure(error, signal);
  }
}

async function startAgent(flags: FlagValues, signal: AbortSignal): Promise<void> {
  const url = agentUrl(flags);
  const zombies = booleanFlag(flags, "no-reap") ? undefined : becomeReaper();
  const logDir = stringFlag(flags, "log-dir");
  const logger = createAgentLogger(
    logDir === undefined ? undefined : join(logDir, "coder-agent.log"),
    booleanFlag(flags, "verbose"),
  );
  if (zombies !== undefined)
    logger.log("warn", "processes that lost their parent will stay as zombies; start the container with an init", {
      why: zombies,
    });
  if (stringFlag(flags, "pprof-address") !== undefined)
    logger.log("warn", "pprof profiles are not served: this agent has none");
  const debugAddress = stringFlag(flags, "debug-address");
  const prometheusAddress = stringFlag(flags, "prometheus-address");
  try {
    await runAgent(
      {
        url,
        token: agentToken(flags),
        dialer: dialerOf(flags),
        extraHeaders: headerSource(url, listFlag(flags, "agent-header"), stringFlag(flags, "agent-header-command")),
        sshMaxTimeoutMs: numberFlag(flags, "ssh-max-timeout") ?? 72 * 3_600_000,
        listenPort: numberFlag(flags, "tailnet-listen-port") ?? 0,
        blockFileTransfer: booleanFlag(flags, "block-file-transfer"),
        logger,
        ...(logDir === undefined ? {} : { logDirectory: resolve(logDir) }),
        ...(debugAddress === undefined ? {} : { debugAddress }),
        ...(prometheusAddress === undefined ? {} : { prometheusAddress }),
        version: VERSION,
      },
      signal,
    );
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_UNAUTHORIZED") throw error;
    throw new UserError("The deployment refused the agent's token: it is wrong, or its workspace was deleted", {
      next: ['"coder external-workspaces agent-instructions <workspace>" prints the right one'],
      code: "ERR_UNAUTHORIZED",
      cause: error,
    });
  }
}
