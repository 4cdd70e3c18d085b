import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { openDeployment } from "../../services/deployment.ts";
import { listUsers } from "../../services/users.ts";
import { OUTPUT_FLAGS, printListing } from "../../ui/output.ts";
import { USER_COLUMNS } from "../../ui/user-table.ts";

export default class UsersList extends BaseCommand {
  static override summary = "List the users of the deployment";
  static override description = "Owners only.";
  static override examples = [
    "<%= config.bin %> users list",
    "<%= config.bin %> users list --column username,roles",
    "<%= config.bin %> users list --output json",
  ];
  static override specs = OUTPUT_FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const users = await listUsers(openDeployment(line.values), signal);
    printListing(line, USER_COLUMNS, users, users);
  }
}
