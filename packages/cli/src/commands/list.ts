import { LISTING_FLAGS } from "../flags/output.ts";
import { LIST_FLAGS, listQuery } from "../flags/workspaces.ts";
import { BaseCommand } from "./base-command.ts";

export default class List extends BaseCommand<typeof List> {
  static override summary = "List workspaces";
  static override examples = ["<%= config.bin %> list", "<%= config.bin %> list --all --output json"];
  static override flags = { ...LIST_FLAGS, ...LISTING_FLAGS };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { listWorkspaces } = await import("../rest/list.ts");
    const { listingText } = await import("../ui/output.ts");
    const { NO_WORKSPACES, WORKSPACE_COLUMNS } = await import("../ui/workspace-table.ts");
    const workspaces = await listWorkspaces(await this.openDeployment(), listQuery(this.flags), signal);
    if (workspaces.length === 0 && this.flags.output !== "json") return void this.display.say(NO_WORKSPACES);
    this.display.print(listingText(this.flags, WORKSPACE_COLUMNS, workspaces, workspaces));
  }
}
