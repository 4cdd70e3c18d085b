import { LISTING_FLAGS } from "../../flags/output.ts";
import { BaseCommand } from "../base-command.ts";

export default class UsersList extends BaseCommand<typeof UsersList> {
  static override summary = "List the users of the deployment";
  static override description = "Owners only.";
  static override examples = [
    "<%= config.bin %> users list",
    "<%= config.bin %> users list --column username,roles",
    "<%= config.bin %> users list --output json",
  ];
  static override flags = LISTING_FLAGS;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { listUsers } = await import("../../rest/users.ts");
    const { listingText } = await import("../../ui/output.ts");
    const { USER_COLUMNS } = await import("../../ui/user-table.ts");
    const users = await listUsers(await this.openDeployment(), signal);
    this.display.print(listingText(this.flags, USER_COLUMNS, users, users));
  }
}
