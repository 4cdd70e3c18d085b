import { BaseCommand } from "../base-command.ts";
import { UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, listFlag, stringFlag, UsageError } from "../flags/spec.ts";
import { SSH_FLAGS } from "../flags/ssh.ts";
import { connectWorkspace } from "../services/connect.ts";
import { openDeployment } from "../services/deployment.ts";
import { reportConnection } from "../services/network-info.ts";
import { SSH_PORT } from "../services/ports.ts";
import { parseRemoteForward } from "../services/remote-forward.ts";
import { connectOptions, reportOptions } from "../services/ssh-options.ts";
import { runSshSession } from "../services/ssh-session.ts";
import { createLogger } from "../ui/logger.ts";
import { StageLine } from "../ui/stages.ts";

const WORDS = [{ name: "workspace", summary: "[owner/]workspace[.agent]", required: true }];

export default class Ssh extends BaseCommand {
  static override summary = "Open a shell in a workspace, or run a command there";
  static override description =
    "Flags stand before or right after the workspace; everything behind it is the remote command. With --stdio it serves OpenSSH as ProxyCommand.";
  static override examples = [
    "<%= config.bin %> ssh dev",
    "<%= config.bin %> ssh dev -- make -j8 test",
    "<%= config.bin %> ssh -A alice/dev.main",
    'ssh -o ProxyCommand="<%= config.bin %> ssh --stdio dev" dev',
  ];
  static override specs = SSH_FLAGS;
  static override words = WORDS;
  static override takesRest = true;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const command = line.words.length > 1 ? line.words.slice(1).join(" ") : undefined;
    const forwards = listFlag(line.values, "remote-forward").map(parseRemoteForward);
    const environment = Object.fromEntries(listFlag(line.values, "env").map(variableOf));
    const agentSocket = booleanFlag(line.values, "forward-agent") ? agentSocketOf(line) : undefined;
    const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
    const pty = command === undefined ? interactive : booleanFlag(line.values, "tty");
    const stages = new StageLine();
    const logger = createLogger({
      verbose: booleanFlag(line.values, "verbose"),
      logDir: stringFlag(line.values, "log-dir"),
    });
    try {
      const { connection, workspace } = await connectWorkspace({
        ...connectOptions(line),
        deployment: openDeployment(line.values),
        signal,
        logger,
        onStage: (text) => stages.set(text),
      });
      const stopReporting = reportConnection({
        ...reportOptions(line),
        connection,
        workspace: workspace.name,
        command: "ssh",
        logger,
      });
      try {
        stages.set("Opening the session");
        const stream = await connection.dial(SSH_PORT, { signal });
        const onAbort = (): void => {
          stream.destroy();
        };
        signal.addEventListener("abort", onAbort);
        stages.clear();
        const code = await runSshSession({
          stream,
          ...(command === undefined ? {} : { command }),
          pty,
          environment,
          ...(agentSocket === undefined ? {} : { agentSocket }),
          remoteForwards: forwards,
          stdin: process.stdin,
          stdout: process.stdout,
          stderr: process.stderr,
          signal,
          describeConnection: () => `${workspace.ownerName}/${workspace.name}: ${connection.describePath()}`,
        });
        signal.throwIfAborted();
        return code;
      } finally {
        stopReporting();
        await connection.close();
      }
    } finally {
      stages.clear();
    }
  }
}

function variableOf(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  if (equals <= 0) throw new UsageError(`--env "${pair}" is not name=value`);
  return [pair.slice(0, equals), pair.slice(equals + 1)];
}

function agentSocketOf(line: ParsedLine): string {
  const socket = stringFlag(line.values, "identity-agent") ?? process.env["SSH_AUTH_SOCK"];
  if (socket !== undefined && socket !== "") return socket;
  throw new UserError("There is no SSH agent to forward", {
    why: "SSH_AUTH_SOCK is not set",
    next: ["start one: eval $(ssh-agent); ssh-add", "or name its socket: --identity-agent <socket>"],
    code: "ERR_NO_SSH_AGENT",
  });
}
