import { AGENT_FLAGS } from "../flags/agent.ts";
import { appsOf } from "../flags/apps.ts";
import { deploymentOptions } from "../flags/global.ts";
import { BaseCommand } from "./base-command.ts";

export default class Agent extends BaseCommand<typeof Agent> {
  static override summary = "Run the agent of a workspace, on the workspace's machine";
  static override examples = ["CODER_AGENT_URL=https://coder.example.com CODER_AGENT_TOKEN=… <%= config.bin %> agent"];
  static override flags = AGENT_FLAGS;
  static override isService = true;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags } = this;
    const { runAgentCommand } = await import("../hosting/agent.ts");
    return runAgentCommand(
      {
        url: flags["agent-url"],
        token: flags["agent-token"],
        tokenFile: flags["agent-token-file"],
        headers: flags["agent-header"] ?? [],
        headerCommand: flags["agent-header-command"],
        tls: deploymentOptions(flags).tls,
        reap: !flags["no-reap"],
        verbose: flags.verbose,
        logDir: flags["log-dir"],
        debugAddress: flags["debug-address"],
        prometheusAddress: flags["prometheus-address"],
        pprofAddress: flags["pprof-address"],
        sshMaxTimeoutMs: flags["ssh-max-timeout"],
        listenPort: flags["tailnet-listen-port"],
        blockFileTransfer: flags["block-file-transfer"],
        apps: appsOf(flags.app),
        appsFile: flags["apps-file"],
        identityFile: flags["identity-file"],
      },
      signal,
    );
  }
}
