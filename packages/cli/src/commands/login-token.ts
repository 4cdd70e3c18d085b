import { UserError } from "../errors/user-error.ts";
import { configDirOf } from "../flags/global.ts";
import { BaseCommand } from "./base-command.ts";

export default class LoginToken extends BaseCommand<typeof LoginToken> {
  static override summary = "Print the session token of the stored login";
  static override description = "For editors and scripts. The token grants everything that you may do: keep it secret.";
  static override examples = ["<%= config.bin %> login token"];

  protected override async execute(): Promise<undefined> {
    const { readConfig } = await import("../base/config-dir.ts");
    const token = this.flags.token ?? readConfig(configDirOf(this.flags), "session");
    if (token === undefined) {
      throw new UserError("You are not logged in", {
        next: ["coder login https://coder.example.com"],
        code: "ERR_NOT_LOGGED_IN",
      });
    }
    this.display.print(`${token}\n`);
  }
}
