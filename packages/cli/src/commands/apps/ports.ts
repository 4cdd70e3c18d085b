import { LISTING_FLAGS } from "../../flags/output.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class AppsPorts extends BaseCommand<typeof AppsPorts> {
  static override summary = "List the ports of a workspace: those in use and those that are shared";
  static override description =
    "The agent connects once to each shared program to find out whether it speaks http or https. If an administrator has lowered a level since, the effective one is listed. Declared apps are listed with: coder apps list WORKSPACE";
  static override examples = ["<%= config.bin %> apps ports dev", "<%= config.bin %> apps ports dev --output json"];
  static override flags = LISTING_FLAGS;
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { findAppPlace } = await import("../../rest/apps.ts");
    const { listPorts } = await import("../../rest/agent-ports.ts");
    const { PORT_COLUMNS } = await import("../../ui/port-table.ts");
    const { listingText } = await import("../../ui/output.ts");
    const deployment = await this.openDeployment();
    const ports = await listPorts(deployment, await findAppPlace(deployment, this.args.workspace, signal), signal);
    if (ports.length === 0 && this.flags.output !== "json")
      this.display.say("No program of this workspace listens on a port, and none is shared.");
    else this.display.print(listingText(this.flags, PORT_COLUMNS, ports, ports));
  }
}
