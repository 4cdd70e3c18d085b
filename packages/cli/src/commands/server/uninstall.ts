import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { SCOPE_FLAGS } from "../../flags/service.ts";
import { runUninstall } from "../../services/service-commands.ts";

export default class ServerUninstall extends BaseCommand {
  static override summary = "Stop the server's service and remove it; its settings and its state stay";
  static override examples = ["sudo <%= config.bin %> server uninstall"];
  static override specs = SCOPE_FLAGS;

  protected override async execute(line: ParsedLine): Promise<undefined> {
    await runUninstall("server", line.values, false);
  }
}
