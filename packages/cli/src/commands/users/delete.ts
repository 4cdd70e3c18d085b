import { USER_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersDelete extends BaseCommand<typeof UsersDelete> {
  static override summary = "Delete a user";
  static override description =
    "The user must have no workspaces left. Others can use the name and email address afterwards. Does not ask for confirmation.";
  static override examples = ["<%= config.bin %> users delete alice"];
  static override args = USER_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { deleteUser, findUser } = await import("../../rest/users.ts");
    const deployment = await this.openDeployment();
    const user = await findUser(deployment, this.args.user, signal);
    await deleteUser(deployment, user.id, signal);
    this.display.say(`Successfully deleted ${user.username}.`);
  }
}
