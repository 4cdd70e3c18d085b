import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../flags/spec.ts";
import { openDeployment } from "../services/deployment.ts";
import { deleteWorkspace, fetchWorkspace } from "../services/workspace-builds.ts";
import { confirm } from "../ui/prompt.ts";
import { say } from "../ui/say.ts";
import { WORKSPACE_WORD } from "./start.ts";

const FLAGS: readonly FlagSpec[] = [
  { name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" },
  {
    name: "orphan",
    kind: "boolean",
    summary: "Accepted for compatibility: no machine is destroyed in any case",
    hidden: true,
  },
];

export default class Delete extends BaseCommand {
  static override summary = "Delete a workspace";
  static override description =
    "Removes it from the deployment: its connections end and its agent's token is worthless. The machine itself and its files stay. The name is free again.";
  static override examples = ["<%= config.bin %> delete dev", "<%= config.bin %> delete --yes dev"];
  static override specs = FLAGS;
  static override words = WORKSPACE_WORD;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const request = { deployment: openDeployment(line.values), name: parseWorkspaceName(line.words[0]!), signal, say };
    const workspace = await fetchWorkspace(request);
    const question = `Delete workspace "${workspace.owner_name}/${workspace.name}"?`;
    if (!booleanFlag(line.values, "yes") && !(await confirm(question, signal))) {
      say("Nothing was deleted");
      return;
    }
    await deleteWorkspace(request);
  }
}
