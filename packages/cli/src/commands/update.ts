import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { openDeployment } from "../services/deployment.ts";
import { startWorkspace } from "../services/workspace-builds.ts";
import { say } from "../ui/say.ts";
import { noteParameters, PARAMETER_FLAGS, WORKSPACE_WORD, YES_FLAG } from "./start.ts";

export default class Update extends BaseCommand {
  static override summary = "Start a workspace with the active version of its template";
  static override description = "A workspace that runs the active version already is left alone.";
  static override examples = ["<%= config.bin %> update dev"];
  static override specs = [...PARAMETER_FLAGS, YES_FLAG];
  static override words = WORKSPACE_WORD;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    noteParameters(line);
    await startWorkspace(
      {
        deployment: openDeployment(line.values),
        name: parseWorkspaceName(line.words[0]!),
        signal,
        say,
      },
      { reason: "cli", noWait: false, update: true },
    );
  }
}
