import { STATUS_FLAGS } from "../../flags/users.ts";
import { USER_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersActivate extends BaseCommand<typeof UsersActivate> {
  static override summary = "Activate a suspended user again";
  static override examples = ["<%= config.bin %> users activate alice"];
  static override flags = STATUS_FLAGS;
  static override args = USER_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { changeStatus } = await import("../../rest/change-status.ts");
    await changeStatus({
      deployment: await this.openDeployment(),
      user: this.args.user,
      column: this.flags.column,
      verb: "activate",
      done: "activated",
      confirm: async (question) => this.flags.yes || (await this.confirm(question, signal)),
      display: this.display,
      signal,
    });
  }
}
