import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { booleanFlag, type FlagSpec, listFlag, splitList } from "../../flags/spec.ts";
import { openDeployment } from "../../services/deployment.ts";
import { findUser, setUserRoles } from "../../services/users.ts";
import { ask, confirm } from "../../ui/prompt.ts";
import { say } from "../../ui/say.ts";
import { rolesText, USER_WORD } from "../../ui/user-table.ts";

const FLAGS: readonly FlagSpec[] = [
  { name: "roles", kind: "list", value: "role,…", summary: "The user's roles from now on: owner, member" },
  { name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" },
];

export default class UsersEditRoles extends BaseCommand {
  static override summary = "Edit a user's roles";
  static override description =
    "An owner administers the deployment; everybody is a member. The roles that are given replace those the user has.";
  static override examples = [
    "<%= config.bin %> users edit-roles alice --roles owner",
    "<%= config.bin %> users edit-roles --yes alice --roles member",
  ];
  static override specs = FLAGS;
  static override words = USER_WORD;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const deployment = openDeployment(line.values);
    const user = await findUser(deployment, line.words[0]!, signal);
    const given = listFlag(line.values, "roles");
    const question = `Roles of ${user.username}, separated by commas (now ${rolesText(user).toLowerCase()}): `;
    const texts =
      given.length > 0 ? given : [await ask(question, { signal, instead: "give --roles owner or --roles member" })];
    const roles = texts.flatMap(splitList).map((role) => role.toLowerCase());
    const wanted = roles.filter((role) => role !== "member");
    if (
      given.length > 0 &&
      !booleanFlag(line.values, "yes") &&
      process.stdin.isTTY &&
      !(await confirm(`Set the roles of ${user.username} to ${wanted.join(", ") || "member"}?`, signal))
    ) {
      say("Nothing was changed.");
      return;
    }
    const changed = await setUserRoles(deployment, user.id, wanted, signal);
    say(`Roles of ${changed.username}: ${rolesText(changed)}`);
  }
}
