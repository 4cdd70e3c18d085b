import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { openDeployment } from "../../services/deployment.ts";
import { listWorkspaces } from "../../services/list.ts";
import { OUTPUT_FLAGS, printListing } from "../../ui/output.ts";
import { LIST_FLAGS, listQuery, noWorkspaces, WORKSPACE_COLUMNS } from "../../ui/workspace-table.ts";

const FLAGS = [...LIST_FLAGS, ...OUTPUT_FLAGS];

export default class ExternalWorkspacesList extends BaseCommand {
  static override summary = "List the workspaces that run on machines of your own";
  static override examples = ["<%= config.bin %> external-workspaces list"];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const all = await listWorkspaces(openDeployment(line.values), listQuery(line.values), signal);
    const external = all.filter((workspace) => workspace.latest_build.has_external_agent === true);
    if (noWorkspaces(external, line)) return;
    printListing(line, WORKSPACE_COLUMNS, external, external);
  }
}
