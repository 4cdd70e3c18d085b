import { SCOPE_FLAGS } from "../../flags/service.ts";
import { BaseCommand } from "../base-command.ts";

export default class AgentUninstall extends BaseCommand<typeof AgentUninstall> {
  static override summary = "Stop the agent's service and remove it, with its token";
  static override examples = ["sudo <%= config.bin %> agent uninstall"];
  static override flags = SCOPE_FLAGS;

  protected override async execute(): Promise<undefined> {
    const { runUninstall } = await import("../../hosting/service-commands.ts");
    await runUninstall({ service: "agent", user: this.flags.user, forgets: true }, this.display);
  }
}
