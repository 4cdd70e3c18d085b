import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag } from "../flags/spec.ts";
import { openDeployment } from "../services/deployment.ts";
import { stopWorkspace } from "../services/workspace-builds.ts";
import { confirm } from "../ui/prompt.ts";
import { say } from "../ui/say.ts";
import { WORKSPACE_WORD } from "./start.ts";

export default class Stop extends BaseCommand {
  static override summary = "Stop a workspace";
  static override description =
    "Ends its connections. Of an external workspace this closes the deployment to its agent; the machine itself runs on.";
  static override examples = ["<%= config.bin %> stop dev", "<%= config.bin %> stop --yes dev"];
  static override specs = [{ name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" } as const];
  static override words = WORKSPACE_WORD;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const name = parseWorkspaceName(line.words[0]!);
    if (!booleanFlag(line.values, "yes") && !(await confirm(`Stop workspace "${name.workspace}"?`, signal))) {
      say("Nothing was stopped");
      return;
    }
    await stopWorkspace({ deployment: openDeployment(line.values), name, signal, say });
  }
}
