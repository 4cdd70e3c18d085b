import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../../flags/spec.ts";
import { openDeployment } from "../../services/deployment.ts";
import { findUser, setUserStatus } from "../../services/users.ts";
import { printListing } from "../../ui/output.ts";
import { confirm } from "../../ui/prompt.ts";
import { say } from "../../ui/say.ts";
import { COLUMN_FLAG, USER_COLUMNS, USER_WORD } from "../../ui/user-table.ts";

export const STATUS_FLAGS: readonly FlagSpec[] = [
  COLUMN_FLAG,
  { name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" },
];

export default class UsersSuspend extends BaseCommand {
  static override summary = "Suspend a user: they are refused everywhere until they are activated again";
  static override examples = ["<%= config.bin %> users suspend alice", "<%= config.bin %> users suspend --yes alice"];
  static override specs = STATUS_FLAGS;
  static override words = USER_WORD;

  protected override execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    return changeStatus(line, signal, { verb: "suspend", done: "suspended" });
  }
}

/** Shows who it is about, asks, and changes the status. */
export async function changeStatus(
  line: ParsedLine,
  signal: AbortSignal,
  how: { readonly verb: "suspend" | "activate"; readonly done: string },
): Promise<undefined> {
  const deployment = openDeployment(line.values);
  const user = await findUser(deployment, line.words[0]!, signal);
  printListing(line, USER_COLUMNS, [user], [user]);
  if (!booleanFlag(line.values, "yes") && !(await confirm(`Are you sure you want to ${how.verb} this user?`, signal))) {
    say("Nothing was changed.");
    return;
  }
  await setUserStatus(deployment, user.id, how.verb, signal);
  say(`User ${user.username} has been ${how.done}!`);
}
