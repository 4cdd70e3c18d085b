import { word } from "../../flags/kinds.ts";
import { OUTPUT_FLAG } from "../../flags/output.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersShow extends BaseCommand<typeof UsersShow> {
  static override summary = "Show one user";
  static override examples = ["<%= config.bin %> users show alice", "<%= config.bin %> users show me"];
  static override flags = OUTPUT_FLAG;
  static override args = { user: word({ required: true, description: "User name, id, or me" }) };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { findUser } = await import("../../rest/users.ts");
    const { jsonText } = await import("../../ui/output.ts");
    const { userDetails } = await import("../../ui/user-table.ts");
    const user = await findUser(await this.openDeployment(), this.args.user, signal);
    if (this.flags.output === "json") this.display.print(jsonText(user));
    else this.display.print(userDetails(user));
  }
}
