import { STATUS_FLAGS } from "../../flags/users.ts";
import { USER_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersSuspend extends BaseCommand<typeof UsersSuspend> {
  static override summary = "Suspend a user: they are refused everywhere until they are activated again";
  static override examples = ["<%= config.bin %> users suspend alice", "<%= config.bin %> users suspend --yes alice"];
  static override flags = STATUS_FLAGS;
  static override args = USER_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { changeStatus } = await import("../../rest/change-status.ts");
    await changeStatus({
      deployment: await this.openDeployment(),
      user: this.args.user,
      column: this.flags.column,
      verb: "suspend",
      done: "suspended",
      confirm: async (question) => this.flags.yes || (await this.confirm(question, signal)),
      display: this.display,
      signal,
    });
  }
}
