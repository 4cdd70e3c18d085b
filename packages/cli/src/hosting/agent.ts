import { join, resolve } from "node:path";
import { becomeReaper } from "coder-agent/host/reaper";
import { exitPastThreads } from "coder-agent/host/thread-exit";
import { createAgentLogger } from "coder-agent/logger";
import { runAgent } from "coder-agent/main";
import { widenThreadPool } from "coder-agent/os/thread-pool";
import { ClientError } from "coder-client/base/client-error";
import { accountHome } from "../base/config-dir.ts";
import { VERSION } from "../base/version.ts";
import { reportFailure } from "../errors/report.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import { dialerOf, headerSource, type TlsFiles } from "../rest/deployment.ts";
import { agentToken, agentUrl } from "./agent-identity.ts";

export interface AgentOptions {
  readonly url: string | undefined;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly headers: readonly string[];
  readonly headerCommand: string | undefined;
  readonly tls: TlsFiles;
  readonly reap: boolean;
  readonly verbose: boolean;
  readonly logDir: string | undefined;
  readonly debugAddress: string | undefined;
  readonly prometheusAddress: string | undefined;
  readonly pprofAddress: string | undefined;
  readonly sshMaxTimeoutMs: number;
  readonly listenPort: number;
  readonly blockFileTransfer: boolean;
  readonly apps: readonly object[];
  readonly appsFile: string | undefined;
  readonly identityFile: string | undefined;
}

/**
 * Runs the agent until the signal ends it. Reports failures and returns the exit code, because the caller is in another bundle
 * and does not know this one's error classes.
 */
export async function runAgentCommand(options: AgentOptions, signal: AbortSignal): Promise<number> {
  try {
    await startAgent(options, signal);
    return EXIT.ok;
  } catch (error) {
    return reportFailure(error, signal);
  } finally {
    exitPastThreads();
  }
}

async function startAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { logDir, debugAddress, prometheusAddress } = options;
  const url = agentUrl(options.url);
  const zombies = options.reap ? becomeReaper() : undefined;
  widenThreadPool();
  const logger = createAgentLogger(logDir === undefined ? undefined : join(logDir, "coder-agent.log"), options.verbose);
  if (zombies !== undefined)
    logger.log("warn", "processes that lost their parent will stay as zombies; start the container with an init", {
      why: zombies,
    });
  if (options.pprofAddress !== undefined) logger.log("warn", "pprof profiles are not served: this agent has none");
  try {
    await runAgent(
      {
        url,
        token: agentToken(options.token, options.tokenFile),
        dialer: dialerOf(options.tls),
        extraHeaders: headerSource(url, options.headers, options.headerCommand),
        sshMaxTimeoutMs: options.sshMaxTimeoutMs,
        listenPort: options.listenPort,
        blockFileTransfer: options.blockFileTransfer,
        apps: options.apps,
        appsFile: options.appsFile ?? join(accountHome(), ".config", "coder", "apps.json"),
        identityFile: options.identityFile ?? join(accountHome(), ".config", "coder", "agent-identity"),
        logger,
        logDirectory: logDir === undefined ? undefined : resolve(logDir),
        debugAddress,
        prometheusAddress,
        version: VERSION,
      },
      signal,
    );
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_UNAUTHORIZED") throw error;
    throw new UserError("The deployment refused the agent's token", {
      why: error.message,
      next: [
        'if it was replaced, "coder external-workspaces agent-instructions <workspace>" prints the right one; a deleted workspace has none',
      ],
      code: "ERR_UNAUTHORIZED",
      cause: error,
    });
  }
}
