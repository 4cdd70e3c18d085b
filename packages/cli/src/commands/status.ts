import { configDirOf, deploymentOptions } from "../flags/global.ts";
import { word } from "../flags/kinds.ts";
import { OUTPUT_FLAG } from "../flags/output.ts";
import { PATH_FLAGS, pathOptions } from "../flags/path.ts";
import { whenEndedAtOnce } from "../ui/ending.ts";
import { BaseCommand } from "./base-command.ts";

export default class Status extends BaseCommand<typeof Status> {
  static override summary = "Show the paths of open connections, or every path to one workspace";
  static override description =
    "Without a workspace: the connections of this machine. With one: connects, and shows each address of the workspace with its round trip, loss and packet size, and why it is used or not. On a terminal the view is live until Ctrl-C; otherwise, and with --output json, it is printed once.";
  static override examples = [
    "<%= config.bin %> status",
    "<%= config.bin %> status dev",
    "<%= config.bin %> status --output json",
  ];
  static override flags = { ...PATH_FLAGS, ...OUTPUT_FLAG };
  static override args = { workspace: word({ description: "[owner/]workspace[.agent]" }) };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags, display } = this;
    const { workspace } = this.args;
    const { showConnections, showPaths } = await import("../entries/network.ts");
    const common = { json: flags.output === "json", whenEndedAtOnce };
    if (workspace === undefined) return showConnections({ ...common, configDir: configDirOf(flags) }, display, signal);
    const options = {
      ...common,
      deployment: deploymentOptions(flags),
      connect: pathOptions(workspace, flags),
      verbose: flags.verbose,
    };
    return showPaths(options, display, signal);
  }
}
