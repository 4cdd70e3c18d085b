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
/** Parameters belong to templates with a provisioner; scripts that give some anyway are told once. */
export const PARAMETER_FLAGS: readonly FlagSpec[] = [
  ["parameter", "list", "name=value"],
  ["parameter-default", "list", "name=value"],
  ["ephemeral-parameter", "list", "name=value"],
  ["build-option", "list", "name=value"],
  ["rich-parameter-file", "string", "file"],
].map(([name, kind, value]) => ({
  name: name!,
  kind: kind as "list" | "string",
  value: value!,
  summary: "Accepted for compatibility: workspaces of this deployment have no parameters",
  hidden: true,
}));

/** Says that what was given changes nothing. */
export function noteParameters(line: ParsedLine): void {
  const given = PARAMETER_FLAGS.filter(({ name }) => line.origins[name] === "flag");
  if (given.length > 0)
    say(`note: ${given.map(({ name }) => `--${name}`).join(", ")}: workspaces of this deployment have no parameters`);
}

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
    ...PARAMETER_FLAGS,
    YES_FLAG,
  ];
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
      {
        reason: stringFlag(line.values, "reason") ?? "cli",
        noWait: booleanFlag(line.values, "no-wait"),
        update: false,
      },
    );
  }
}
