import { ClientError } from "coder-client/base/client-error";
import { BaseCommand } from "../base-command.ts";
import { readConfig, removeConfig } from "../config-dir.ts";
import { CancelledError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../flags/spec.ts";
import { configDirOf, openDeployment } from "../services/deployment.ts";
import { confirm } from "../ui/prompt.ts";
import { say } from "../ui/say.ts";

const FLAGS: readonly FlagSpec[] = [{ name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" }];

export default class Logout extends BaseCommand {
  static override summary = "Log out and forget the stored login";
  static override examples = ["<%= config.bin %> logout --yes"];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number | undefined> {
    const dir = configDirOf(line.values);
    if (readConfig(dir, "url") === undefined && readConfig(dir, "session") === undefined) {
      throw new ClientError("ERR_NOT_LOGGED_IN", "You are not logged in");
    }
    if (!booleanFlag(line.values, "yes") && !(await confirm("Log out?", signal))) throw new CancelledError("kept");
    try {
      await openDeployment(line.values).call("/api/v2/users/logout", { method: "POST", signal });
    } catch (error) {
      // The files go in any case; the person is told that the server may still know the token.
      say(`The deployment could not be told: ${(error as Error).message}`);
    }
    for (const file of ["url", "session", "organization", "ca-file", "client-cert", "client-key"] as const)
      removeConfig(dir, file);
    say("You are no longer logged in.");
    return undefined;
  }
}
