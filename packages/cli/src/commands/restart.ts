import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../flags/spec.ts";
import { openDeployment } from "../services/deployment.ts";
import { startWorkspace, stopWorkspace } from "../services/workspace-builds.ts";
import { confirm } from "../ui/prompt.ts";
import { say } from "../ui/say.ts";
import { noteParameters, PARAMETER_FLAGS, WORKSPACE_WORD } from "./start.ts";

export default class Restart extends BaseCommand {
  static override summary = "Stop a workspace and start it again";
  static override examples = ["<%= config.bin %> restart dev", "<%= config.bin %> restart --yes dev"];
  static override specs: readonly FlagSpec[] = [
    ...PARAMETER_FLAGS,
    { name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" },
  ];
  static override words = WORKSPACE_WORD;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    noteParameters(line);
    const name = parseWorkspaceName(line.words[0]!);
    if (!booleanFlag(line.values, "yes") && !(await confirm(`Restart workspace "${name.workspace}"?`, signal))) {
      say("Nothing was restarted");
      return;
    }
    const request = { deployment: openDeployment(line.values), name, signal, say };
    await stopWorkspace(request);
    await startWorkspace(request, { reason: "cli", noWait: false, update: false });
  }
}
