import { parseWorkspaceName } from "coder-protocol/names";
import { toggle, word } from "../../flags/kinds.ts";
import { BaseCommand } from "../base-command.ts";

export default class OpenVscode extends BaseCommand<typeof OpenVscode> {
  static override summary = "Open a workspace in VS Code";
  static override description =
    "VS Code needs the Coder extension. If no program can open addresses, as over SSH, the address is printed.";
  static override examples = [
    "<%= config.bin %> open vscode dev",
    "<%= config.bin %> open vscode dev /home/coder/project",
    "<%= config.bin %> open vscode --generate-token dev",
  ];
  static override flags = {
    "generate-token": toggle({
      env: "CODER_OPEN_VSCODE_GENERATE_TOKEN",
      summary: "Put a new session token into the address, so that VS Code needs no login of its own",
    }),
  };
  static override args = {
    workspace: word({ required: true, description: "[owner/]workspace[.agent]" }),
    directory: word({ description: "absolute path in the workspace; default: what was open last" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { chooseAgent, findWorkspace } = await import("coder-client/rest/workspaces");
    const { mintSessionToken } = await import("../../rest/login.ts");
    const { openAddress, vscodeUri } = await import("../../open/open-editor.ts");
    const name = parseWorkspaceName(this.args.workspace);
    const deployment = await this.openDeployment();
    const workspace = await findWorkspace(deployment, name, { signal });
    const agent = workspace.agents.length === 0 ? undefined : chooseAgent(workspace, name.agent).name;
    const token = this.flags["generate-token"] ? await mintSessionToken(deployment, signal) : undefined;
    const uri = vscodeUri({
      deploymentUrl: deployment.url,
      owner: workspace.ownerName,
      workspace: workspace.name,
      agent,
      folder: this.args.directory,
      token,
    });
    try {
      await openAddress(uri);
      this.display.say(`Opening ${workspace.ownerName}/${workspace.name} in VS Code`);
    } catch {
      this.display.say("No program here can open addresses; open this one where VS Code is:");
      this.display.print(`${uri}\n`);
    }
  }
}
