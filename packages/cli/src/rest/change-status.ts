/** The work of `coder users suspend` and `users activate`. */
import type { Deployment } from "coder-client/rest/deployment";
import type { Display } from "../ui/display.ts";
import { listingText } from "../ui/output.ts";
import { USER_COLUMNS } from "../ui/user-table.ts";
import { findUser, setUserStatus } from "./users.ts";

export interface StatusChange {
  readonly deployment: Deployment;
  /** Name or id. */
  readonly user: string;
  /** Columns of the table that shows the user. */
  readonly column: readonly string[] | undefined;
  readonly verb: "suspend" | "activate";
  readonly done: "suspended" | "activated";
  readonly confirm: (question: string) => Promise<boolean>;
  readonly display: Pick<Display, "print" | "say">;
  readonly signal: AbortSignal;
}

/** Shows the user, asks for confirmation, and changes the status. */
export async function changeStatus(change: StatusChange): Promise<void> {
  const { deployment, verb, signal } = change;
  const { print, say } = change.display;
  const user = await findUser(deployment, change.user, signal);
  print(listingText({ output: "table", column: change.column }, USER_COLUMNS, [user], [user]));
  if (!(await change.confirm(`Are you sure you want to ${verb} this user?`))) {
    say("Nothing was changed.");
    return;
  }
  await setUserStatus(deployment, user.id, verb, signal);
  say(`User ${user.username} has been ${change.done}!`);
}
