import { parseWorkspaceName } from "coder-protocol/names";
import { appsOf } from "../../flags/apps.ts";
import { list, text, word } from "../../flags/kinds.ts";
import { OUTPUT_FLAG } from "../../flags/output.ts";
import { BaseCommand } from "../base-command.ts";

export default class ExternalWorkspacesCreate extends BaseCommand<typeof ExternalWorkspacesCreate> {
  static override summary = "Register any machine as a workspace";
  static override description = "Registers the workspace and prints how to start its agent on the machine.";
  static override examples = [
    "<%= config.bin %> external-workspaces create build-box",
    "<%= config.bin %> external-workspaces create build-box --output json",
    '<%= config.bin %> external-workspaces create box --app slug=web,url=http://127.0.0.1:8080,name="My site",share=owner,health=/healthz',
  ];
  static override flags = {
    "agent-name": text({ helpValue: "<name>", summary: "Name of its agent" }),
    app: list({ helpValue: "<slug=…,url=…>", summary: "An app of the workspace; may be given several times" }),
    ...OUTPUT_FLAG,
  };
  static override args = { workspace: word({ required: true, description: "Name of the new workspace" }) };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { createExternalWorkspace, renderInstructions } = await import("../../rest/external-workspaces.ts");
    const { jsonText } = await import("../../ui/output.ts");
    const name = parseWorkspaceName(this.args.workspace);
    const deployment = await this.openDeployment();
    const made = await createExternalWorkspace(
      deployment,
      name.owner ?? "me",
      name.workspace,
      { agentName: this.flags["agent-name"] ?? name.agent, apps: appsOf(this.flags.app) },
      signal,
    );
    if (this.flags.output === "json") this.display.print(jsonText(made));
    else this.display.print(renderInstructions(deployment, made));
  }
}
