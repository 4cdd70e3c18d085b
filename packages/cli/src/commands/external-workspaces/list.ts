import { LISTING_FLAGS } from "../../flags/output.ts";
import { LIST_FLAGS, listQuery } from "../../flags/workspaces.ts";
import { BaseCommand } from "../base-command.ts";

export default class ExternalWorkspacesList extends BaseCommand<typeof ExternalWorkspacesList> {
  static override summary = "List the workspaces that run on machines of your own";
  static override examples = ["<%= config.bin %> external-workspaces list"];
  static override flags = { ...LIST_FLAGS, ...LISTING_FLAGS };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { listWorkspaces } = await import("../../rest/list.ts");
    const { listingText } = await import("../../ui/output.ts");
    const { NO_WORKSPACES, WORKSPACE_COLUMNS } = await import("../../ui/workspace-table.ts");
    const all = await listWorkspaces(await this.openDeployment(), listQuery(this.flags), signal);
    const external = all.filter((workspace) => workspace.latest_build.has_external_agent === true);
    if (external.length === 0 && this.flags.output !== "json") return void this.display.say(NO_WORKSPACES);
    this.display.print(listingText(this.flags, WORKSPACE_COLUMNS, external, external));
  }
}
