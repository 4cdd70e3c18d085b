import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { type FlagSpec, stringFlag } from "../flags/spec.ts";
import { newPasswordProblem } from "../services/login.ts";
import { askNewPassword } from "../ui/prompt.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "state-dir",
    env: "CODER_STATE_DIRECTORY",
    kind: "string",
    value: "folder",
    summary: 'The server\'s folder of database and keys, as given to "coder server"',
  },
  {
    name: "cache-dir",
    env: "CODER_CACHE_DIRECTORY",
    kind: "string",
    value: "folder",
    summary: "Older name of --state-dir",
    hidden: true,
  },
];

export default class ResetPassword extends BaseCommand {
  static override summary = "Reset a user's password, on the server's machine";
  static override description =
    "For when no owner can log in any more: changes the password in the server's database, with the server running or not. The user's sessions and tokens are removed. An owner who is logged in needs no access to the server: see the users commands.";
  static override examples = ["<%= config.bin %> reset-password alice"];
  static override specs = FLAGS;
  static override words = [{ name: "username", summary: "User name", required: true }];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const { runResetPassword } = await import("../services/server.ts");
    const chosen = Object.fromEntries(
      ["state-dir", "cache-dir"].flatMap((name) => {
        const value = stringFlag(line.values, name);
        return value === undefined ? [] : [[name, value]];
      }),
    );
    return runResetPassword(chosen, line.words[0]!, () => newPassword(signal), signal);
  }
}

async function newPassword(signal: AbortSignal): Promise<string> {
  const given = process.env["CODER_NEW_USER_PASSWORD"];
  if (given !== undefined && given !== "") return given;
  return askNewPassword({ signal, instead: "set CODER_NEW_USER_PASSWORD", check: newPasswordProblem });
}
