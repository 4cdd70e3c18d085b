import { OUTPUT_FLAG, YES_FLAG } from "../../flags/output.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class ExternalWorkspacesRotateToken extends BaseCommand<typeof ExternalWorkspacesRotateToken> {
  static override summary = "Replace the token of an external workspace's agent";
  static override description =
    "Refuses the old token at once, which disconnects the agent and ends open sessions, and prints how to start the agent with the new one.";
  static override examples = [
    "<%= config.bin %> external-workspaces rotate-token build-box",
    "<%= config.bin %> external-workspaces rotate-token --yes --output json build-box.main",
  ];
  static override flags = { ...YES_FLAG, ...OUTPUT_FLAG };
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { findExternalAgent, renderInstructions, rotateAgentToken } = await import(
      "../../rest/external-workspaces.ts"
    );
    const { jsonText } = await import("../../ui/output.ts");
    const deployment = await this.openDeployment();
    const external = await findExternalAgent(deployment, this.args.workspace, signal);
    const { agent, workspace } = external;
    const question = `Replace the token of agent "${agent.name}" of workspace "${workspace.ownerName}/${workspace.name}", and disconnect it?`;
    if (!this.flags.yes && !(await this.confirm(question, signal))) {
      this.display.say("The token was not replaced");
      return;
    }
    const instructions = await rotateAgentToken(deployment, external, signal);
    if (this.flags.output === "json") this.display.print(jsonText(instructions));
    else this.display.print(renderInstructions(deployment, instructions));
  }
}
