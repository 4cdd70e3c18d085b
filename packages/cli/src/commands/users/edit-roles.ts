import { splitList } from "../../base/split-list.ts";
import { list } from "../../flags/kinds.ts";
import { YES_FLAG } from "../../flags/output.ts";
import { USER_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersEditRoles extends BaseCommand<typeof UsersEditRoles> {
  static override summary = "Edit a user's roles";
  static override description =
    "An owner administers the deployment; every user is a member. The given roles replace those the user has.";
  static override examples = [
    "<%= config.bin %> users edit-roles alice --roles owner",
    "<%= config.bin %> users edit-roles --yes alice --roles member",
  ];
  static override flags = {
    roles: list({ helpValue: "<role,…>", summary: "The user's roles from now on: owner, member" }),
    ...YES_FLAG,
  };
  static override args = USER_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { findUser, setUserRoles } = await import("../../rest/users.ts");
    const { rolesText } = await import("../../ui/user-table.ts");
    const deployment = await this.openDeployment();
    const user = await findUser(deployment, this.args.user, signal);
    const given = this.flags.roles ?? [];
    const question = `Roles of ${user.username}, separated by commas (now ${rolesText(user).toLowerCase()}): `;
    const texts =
      given.length > 0
        ? given
        : [await this.display.ask(question, { signal, instead: "give --roles owner or --roles member" })];
    const roles = texts.flatMap(splitList).map((role) => role.toLowerCase());
    const wanted = roles.filter((role) => role !== "member");
    if (
      given.length > 0 &&
      !this.flags.yes &&
      this.display.asks &&
      !(await this.confirm(`Set the roles of ${user.username} to ${wanted.join(", ") || "member"}?`, signal))
    ) {
      this.display.say("Nothing was changed.");
      return;
    }
    const changed = await setUserRoles(deployment, user.id, wanted, signal);
    this.display.say(`Roles of ${changed.username}: ${rolesText(changed)}`);
  }
}
