import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { USER_WORD } from "../../ui/user-table.ts";
import { changeStatus, STATUS_FLAGS } from "./suspend.ts";

export default class UsersActivate extends BaseCommand {
  static override summary = "Activate a suspended user again";
  static override examples = ["<%= config.bin %> users activate alice"];
  static override specs = STATUS_FLAGS;
  static override words = USER_WORD;

  protected override execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    return changeStatus(line, signal, { verb: "activate", done: "activated" });
  }
}
