import { OUTPUT_FLAG } from "../../flags/output.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class ExternalWorkspacesInstructions extends BaseCommand<typeof ExternalWorkspacesInstructions> {
  static override summary = "Print how to start the agent of an external workspace";
  static override examples = ["<%= config.bin %> external-workspaces agent-instructions build-box"];
  static override flags = OUTPUT_FLAG;
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { agentInstructions, renderInstructions } = await import("../../rest/external-workspaces.ts");
    const { jsonText } = await import("../../ui/output.ts");
    const deployment = await this.openDeployment();
    const instructions = await agentInstructions(deployment, this.args.workspace, signal);
    if (this.flags.output === "json") this.display.print(jsonText(instructions));
    else this.display.print(renderInstructions(deployment, instructions));
  }
}
