import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { SCOPE_FLAGS } from "../../flags/service.ts";
import { runUninstall } from "../../services/service-commands.ts";

export default class AgentUninstall extends BaseCommand {
  static override summary = "Stop the agent's service and remove it, with its token";
  static override examples = ["sudo <%= config.bin %> agent uninstall"];
  static override specs = SCOPE_FLAGS;

  protected override async execute(line: ParsedLine): Promise<undefined> {
    await runUninstall("agent", line.values, true);
  }
}
