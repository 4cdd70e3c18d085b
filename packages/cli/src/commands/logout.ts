import { ClientError } from "coder-client/base/client-error";
import { CancelledError } from "../errors/user-error.ts";
import { configDirOf } from "../flags/global.ts";
import { YES_FLAG } from "../flags/output.ts";
import { BaseCommand } from "./base-command.ts";

export default class Logout extends BaseCommand<typeof Logout> {
  static override summary = "Log out and forget the stored login";
  static override examples = ["<%= config.bin %> logout --yes"];
  static override flags = YES_FLAG;

  protected override async execute(signal: AbortSignal): Promise<number | undefined> {
    const { readConfig, removeConfig } = await import("../base/config-dir.ts");
    const dir = configDirOf(this.flags);
    if (readConfig(dir, "url") === undefined && readConfig(dir, "session") === undefined) {
      throw new ClientError("ERR_NOT_LOGGED_IN", "You are not logged in");
    }
    if (!this.flags.yes && !(await this.confirm("Log out?", signal))) throw new CancelledError("kept");
    try {
      await (await this.openDeployment()).call("/api/v2/users/logout", { method: "POST", signal });
    } catch (error) {
      // The files are removed either way, but the server may still accept the token.
      this.display.say(
        `The deployment did not end the session, so its token may still work: ${(error as Error).message}`,
      );
    }
    for (const file of ["url", "session", "organization", "ca-file", "client-cert", "client-key"] as const)
      removeConfig(dir, file);
    this.display.say("You are no longer logged in.");
    return undefined;
  }
}
