import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { openDeployment } from "../services/deployment.ts";
import { renameWorkspace } from "../services/workspace-builds.ts";
import { say } from "../ui/say.ts";
import { WORKSPACE_WORD, YES_FLAG } from "./start.ts";

export default class Rename extends BaseCommand {
  static override summary = "Rename a workspace";
  static override description = "Connections that are open stay. From then on it is reached by the new name only.";
  static override examples = ["<%= config.bin %> rename dev build-box"];
  static override specs = [YES_FLAG];
  static override words = [...WORKSPACE_WORD, { name: "new-name", summary: "Its name from then on", required: true }];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const name = parseWorkspaceName(line.words[0]!);
    await renameWorkspace({ deployment: openDeployment(line.values), name, signal, say }, line.words[1]!);
  }
}
