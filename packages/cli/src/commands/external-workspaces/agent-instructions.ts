import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { openDeployment } from "../../services/deployment.ts";
import { agentInstructions, renderInstructions } from "../../services/external-workspaces.ts";
import { OUTPUT_FLAGS, printJson } from "../../ui/output.ts";

const FLAGS = OUTPUT_FLAGS.filter((flag) => flag.name === "output");
const WORDS = [{ name: "workspace", summary: "[owner/]workspace[.agent]", required: true }];

export default class ExternalWorkspacesInstructions extends BaseCommand {
  static override summary = "Print how to start the agent of an external workspace";
  static override examples = ["<%= config.bin %> external-workspaces agent-instructions build-box"];
  static override specs = FLAGS;
  static override words = WORDS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const deployment = openDeployment(line.values);
    const instructions = await agentInstructions(deployment, line.words[0]!, signal);
    if (line.values["output"] === "json") printJson(instructions);
    else process.stdout.write(renderInstructions(deployment, instructions));
  }
}
