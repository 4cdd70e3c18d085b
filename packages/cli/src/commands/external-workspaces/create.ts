import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { type FlagSpec, stringFlag } from "../../flags/spec.ts";
import { openDeployment } from "../../services/deployment.ts";
import { createExternalWorkspace, renderInstructions } from "../../services/external-workspaces.ts";
import { OUTPUT_FLAGS, printJson } from "../../ui/output.ts";

const FLAGS: readonly FlagSpec[] = [
  { name: "agent-name", kind: "string", value: "name", summary: "Name of its agent" },
  ...OUTPUT_FLAGS.filter((flag) => flag.name === "output"),
];
const WORDS = [{ name: "workspace", summary: "Name of the new workspace", required: true }];

export default class ExternalWorkspacesCreate extends BaseCommand {
  static override summary = "Register any machine as a workspace";
  static override description = "Registers the workspace and prints how to start its agent on the machine.";
  static override examples = [
    "<%= config.bin %> external-workspaces create build-box",
    "<%= config.bin %> external-workspaces create build-box --output json",
  ];
  static override specs = FLAGS;
  static override words = WORDS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const name = parseWorkspaceName(line.words[0]!, {});
    const deployment = openDeployment(line.values);
    const made = await createExternalWorkspace(
      deployment,
      name.owner ?? "me",
      name.workspace,
      stringFlag(line.values, "agent-name") ?? name.agent,
      signal,
    );
    if (line.values["output"] === "json") printJson(made);
    else process.stdout.write(renderInstructions(deployment, made));
  }
}
