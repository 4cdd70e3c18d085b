import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { openDeployment } from "../services/deployment.ts";
import { listWorkspaces } from "../services/list.ts";
import { OUTPUT_FLAGS, printListing } from "../ui/output.ts";
import { LIST_FLAGS, listQuery, noWorkspaces, WORKSPACE_COLUMNS } from "../ui/workspace-table.ts";

const FLAGS = [...LIST_FLAGS, ...OUTPUT_FLAGS];

export default class List extends BaseCommand {
  static override summary = "List workspaces";
  static override examples = ["<%= config.bin %> list", "<%= config.bin %> list --all --output json"];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const workspaces = await listWorkspaces(openDeployment(line.values), listQuery(line.values), signal);
    if (noWorkspaces(workspaces, line)) return;
    printListing(line, WORKSPACE_COLUMNS, workspaces, workspaces);
  }
}
