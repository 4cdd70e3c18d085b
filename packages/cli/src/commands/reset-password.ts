import { word } from "../flags/kinds.ts";
import { STATE_DIR_FLAGS, stateDirOf } from "../flags/state-dir.ts";
import type { Ask } from "../ui/prompt.ts";
import { BaseCommand } from "./base-command.ts";

export default class ResetPassword extends BaseCommand<typeof ResetPassword> {
  static override summary = "Reset a user's password, on the server's machine";
  static override description =
    "For when no owner can log in any more: changes the password in the server's database, with the server running or not. The user's sessions and tokens end; open connections of theirs within seconds. An owner who is logged in needs no access to the server: see the users commands.";
  static override examples = ["<%= config.bin %> reset-password alice"];
  static override flags = STATE_DIR_FLAGS;
  static override args = { username: word({ required: true, description: "User name" }) };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { runResetPassword } = await import("../hosting/server.ts");
    return runResetPassword(
      stateDirOf(this.flags),
      this.args.username,
      () => newPassword(this.display.ask, signal),
      this.display,
      signal,
    );
  }
}

async function newPassword(ask: Ask, signal: AbortSignal): Promise<string> {
  const given = process.env["CODER_NEW_USER_PASSWORD"];
  if (given !== undefined && given !== "") return given;
  const { newPasswordProblem } = await import("../rest/login.ts");
  const { askNewPassword } = await import("../ui/prompt.ts");
  return askNewPassword(ask, { signal, instead: "set CODER_NEW_USER_PASSWORD", check: newPasswordProblem });
}
