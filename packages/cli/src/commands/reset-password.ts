import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { STATE_DIR_FLAGS, stateDirOf } from "../flags/state-dir.ts";
import { newPasswordProblem } from "../services/login.ts";
import { askNewPassword } from "../ui/prompt.ts";

export default class ResetPassword extends BaseCommand {
  static override summary = "Reset a user's password, on the server's machine";
  static override description =
    "For when no owner can log in any more: changes the password in the server's database, with the server running or not. The user's sessions and tokens end; open connections of theirs within seconds. An owner who is logged in needs no access to the server: see the users commands.";
  static override examples = ["<%= config.bin %> reset-password alice"];
  static override specs = STATE_DIR_FLAGS;
  static override words = [{ name: "username", summary: "User name", required: true }];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const { runResetPassword } = await import("../services/server.ts");
    return runResetPassword(stateDirOf(line.values), line.words[0]!, () => newPassword(signal), signal);
  }
}

async function newPassword(signal: AbortSignal): Promise<string> {
  const given = process.env["CODER_NEW_USER_PASSWORD"];
  if (given !== undefined && given !== "") return given;
  return askNewPassword({ signal, instead: "set CODER_NEW_USER_PASSWORD", check: newPasswordProblem });
}
