import { BaseCommand } from "../base-command.ts";
import { readConfig } from "../config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { stringFlag } from "../flags/spec.ts";
import { configDirOf } from "../services/deployment.ts";

export default class LoginToken extends BaseCommand {
  static override summary = "Print the session token of the stored login";
  static override description = "For editors and scripts. Whoever has the token is you: do not show it to anybody.";
  static override examples = ["<%= config.bin %> login token"];

  protected override async execute(line: ParsedLine): Promise<undefined> {
    const token = stringFlag(line.values, "token") ?? readConfig(configDirOf(line.values), "session");
    if (token === undefined) {
      throw new UserError("You are not logged in", {
        next: ["coder login https://coder.example.com"],
        code: "ERR_NOT_LOGGED_IN",
      });
    }
    process.stdout.write(`${token}\n`);
  }
}
