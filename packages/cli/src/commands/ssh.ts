import { deploymentOptions } from "../flags/global.ts";
import { SSH_FLAGS, sshConnectOptions, sshReportOptions } from "../flags/ssh.ts";
import { AGENT_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

export default class Ssh extends BaseCommand<typeof Ssh> {
  static override summary = "Open a shell in a workspace, or run a command there";
  static override description =
    "Flags go before or right after the workspace; everything after them is the remote command. With --stdio it serves OpenSSH as ProxyCommand. In a shell, Enter ~ ? lists the escapes.";
  static override examples = [
    "<%= config.bin %> ssh dev",
    "<%= config.bin %> ssh dev -- make -j8 test",
    "<%= config.bin %> ssh -A alice/dev.main",
    "<%= config.bin %> ssh --resume dev",
    "<%= config.bin %> ssh --region sydney dev",
    "<%= config.bin %> ssh -N -L 5432:db.internal:5432 -D 1080 dev",
    'ssh -o ProxyCommand="<%= config.bin %> ssh --stdio dev" dev',
  ];
  static override flags = SSH_FLAGS;
  static override args = AGENT_WORD;
  static override strict = false;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags, words } = this;
    const { refuseReplacedBytes } = await import("../session/argument-bytes.ts");
    refuseReplacedBytes([...words, ...(flags.env ?? [])]);
    const { localAgentSocket } = await import("../session/local-agent.ts");
    const { runSsh } = await import("../entries/network.ts");
    const session = {
      command: words.length > 1 ? words.slice(1).join(" ") : undefined,
      interactive: process.stdin.isTTY === true && process.stdout.isTTY === true,
      tty: flags.tty,
      noTty: flags["no-tty"],
      noCommand: flags["no-command"],
      resume: flags.resume,
      forwardAgent: flags["forward-agent"],
      agentSocket: flags["identity-agent"] ?? localAgentSocket(process.env, process.platform),
      forwardGpg: flags["forward-gpg"],
      forwardX11: flags["forward-x11"],
      environment: flags.env ?? [],
      localForwards: flags["local-forward"] ?? [],
      dynamicForwards: flags["dynamic-forward"] ?? [],
      remoteForwards: flags["remote-forward"] ?? [],
    };
    const options = {
      deployment: deploymentOptions(flags),
      connect: sshConnectOptions(this.args.workspace, flags),
      report: sshReportOptions(flags),
      session,
      verbose: flags.verbose,
      logDir: flags["log-dir"],
    };
    return runSsh(options, this.display, signal);
  }
}
