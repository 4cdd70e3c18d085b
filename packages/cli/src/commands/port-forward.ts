import { VERSION } from "../base/version.ts";
import { UsageError } from "../errors/usage-error.ts";
import { deploymentOptions } from "../flags/global.ts";
import { list, toggle } from "../flags/kinds.ts";
import { PATH_FLAGS, pathOptions } from "../flags/path.ts";
import { AGENT_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

export default class PortForward extends BaseCommand<typeof PortForward> {
  static override summary = "Reach ports of a workspace from this machine, and the other way round";
  static override description =
    "Runs until Ctrl-C. Without an address it listens on loopback only. The forwards outlive network changes, sleep and restarts of the workspace; events are reported on stderr.";
  static override examples = [
    "<%= config.bin %> port-forward dev --tcp 8080",
    "<%= config.bin %> port-forward dev --tcp 8080:3000 --tcp 9000-9010,0.0.0.0:5000",
    "<%= config.bin %> port-forward dev --udp 5353:53",
    "<%= config.bin %> port-forward dev --tcp 5432:db.internal:5432",
    "<%= config.bin %> port-forward dev --reverse 8080:3000",
    "<%= config.bin %> port-forward dev --auto",
    "<%= config.bin %> port-forward dev --tcp 8080 --region sydney",
  ];
  static override flags = {
    tcp: list({
      char: "p",
      env: "CODER_PORT_FORWARD_TCP",
      helpValue: "<[address:]port[:[host:]port]>",
      summary:
        "TCP ports of this machine that lead to the workspace, or to a host it reaches; lists and ranges are allowed",
    }),
    udp: list({
      env: "CODER_PORT_FORWARD_UDP",
      helpValue: "<[address:]port[:port]>",
      summary: "UDP ports of this machine that lead to the workspace",
    }),
    reverse: list({
      env: "CODER_PORT_FORWARD_REVERSE",
      helpValue: "<port[:[host:]port]>",
      summary: "TCP ports of the workspace that lead to this machine, or to a host it reaches",
    }),
    auto: toggle({
      env: "CODER_PORT_FORWARD_AUTO",
      summary: "Forward every port that a program of the workspace listens on, as they come and go",
    }),
    "disable-autostart": toggle({ env: "CODER_SSH_DISABLE_AUTOSTART", summary: "Do not start a stopped workspace" }),
    ...PATH_FLAGS,
  };
  static override isService = true;
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags } = this;
    const { planForwards, runPortForward } = await import("../entries/network.ts");
    const forwards = planForwards(flags.tcp ?? [], flags.udp ?? [], flags.reverse ?? []);
    if (forwards.forwards.length + forwards.reverse.length === 0 && !flags.auto)
      throw new UsageError("nothing to forward: name ports with --tcp, --udp or --reverse, or let --auto find them");
    const options = {
      ...forwards,
      auto: flags.auto,
      deployment: deploymentOptions(flags),
      connect: {
        ...pathOptions(this.args.workspace, flags),
        autostart: !flags["disable-autostart"],
        telemetry: flags["disable-network-telemetry"]
          ? undefined
          : { application: "port-forward", clientVersion: VERSION },
      },
      verbose: flags.verbose,
    };
    await runPortForward(options, this.display, signal);
  }
}
