import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { openDeployment } from "../../services/deployment.ts";
import { deleteUser, findUser } from "../../services/users.ts";
import { say } from "../../ui/say.ts";
import { USER_WORD } from "../../ui/user-table.ts";

export default class UsersDelete extends BaseCommand {
  static override summary = "Delete a user";
  static override description =
    "The user must have no workspaces left. Name and email address are free for others afterwards. Asks nothing.";
  static override examples = ["<%= config.bin %> users delete alice"];
  static override words = USER_WORD;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const deployment = openDeployment(line.values);
    const user = await findUser(deployment, line.words[0]!, signal);
    await deleteUser(deployment, user.id, signal);
    say(`Successfully deleted ${user.username}.`);
  }
}
