import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createAgentLogger } from "coder-agent/logger";
import { runAgent } from "coder-agent/main";
import { becomeReaper } from "coder-agent/services/reaper";
import { ClientError } from "coder-client/client-error";
import { reportFailure } from "../errors/report.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import { booleanFlag, type FlagValues, listFlag, numberFlag, stringFlag } from "../flags/spec.ts";
import { VERSION } from "../version.ts";
import { dialerOf, headerSource, parseDeploymentUrl } from "./deployment.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

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
  const text = stringFlag(flags, "agent-url");
  if (text === undefined) {
    throw new UserError("The agent needs to know its deployment", {
      next: [
        'set CODER_AGENT_URL and CODER_AGENT_TOKEN; "coder external-workspaces agent-instructions <workspace>" prints both',
      ],
      code: "ERR_USAGE",
      exit: 2,
    });
  }
  const url = parseDeploymentUrl(text);
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

function agentToken(flags: FlagValues): string {
  const file = stringFlag(flags, "agent-token-file");
  const token = stringFlag(flags, "agent-token") ?? (file === undefined ? undefined : readTokenFile(file));
  if (token === undefined) {
    throw new UserError("The agent needs its token", {
      next: ["set CODER_AGENT_TOKEN or CODER_AGENT_TOKEN_FILE"],
      code: "ERR_USAGE",
      exit: 2,
    });
  }
  if (!UUID.test(token)) throw new UserError("The agent's token is not a UUID", { code: "ERR_USAGE", exit: 2 });
  return token;
}

function readTokenFile(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new UserError(`Cannot read the token file "${path}"`, {
      why: (error as NodeJS.ErrnoException).code,
      cause: error,
    });
  }
}
