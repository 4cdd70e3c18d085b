import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec, stringFlag } from "../flags/spec.ts";
import { openDeployment } from "../services/deployment.ts";
import { startWorkspace } from "../services/workspace-builds.ts";
import { say } from "../ui/say.ts";

export const YES_FLAG: FlagSpec = {
  name: "yes",
  char: "y",
  kind: "boolean",
  summary: "Accepted for scripts: this command asks nothing",
};
export const WORKSPACE_WORD = [{ name: "workspace", summary: "[owner/]workspace", required: true }];

export default class Start extends BaseCommand {
  static override summary = "Start a workspace";
  static override description =
    "Of an external workspace this opens the deployment to its agent; the machine itself is powered by its owner.";
  static override examples = ["<%= config.bin %> start dev"];
  static override specs: readonly FlagSpec[] = [
    { name: "no-wait", kind: "boolean", summary: "Return once the start was asked for" },
    {
      name: "reason",
      kind: "string",
      value: "reason",
      default: "cli",
      options: ["cli", "dashboard", "ssh_connection", "vscode_connection", "jetbrains_connection"],
      summary: "What the start is recorded as",
      hidden: true,
    },
    YES_FLAG,
  ];
  static override words = WORKSPACE_WORD;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    await startWorkspace(
      {
        deployment: openDeployment(line.values),
        name: parseWorkspaceName(line.words[0]!),
        signal,
        say,
      },
      {
        reason: stringFlag(line.values, "reason") ?? "cli",
        noWait: booleanFlag(line.values, "no-wait"),
        update: false,
      },
    );
  }
}
