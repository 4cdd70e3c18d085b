import { chooseAgent, findWorkspace } from "coder-client/rest/workspaces";
import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { booleanFlag } from "../../flags/spec.ts";
import { openDeployment } from "../../services/deployment.ts";
import { mintSessionToken } from "../../services/login.ts";
import { openAddress, vscodeUri } from "../../services/open-editor.ts";
import { say } from "../../ui/say.ts";

export default class OpenVscode extends BaseCommand {
  static override summary = "Open a workspace in VS Code";
  static override description =
    "VS Code needs the Coder extension. Where nothing opens addresses, as over SSH, the address is printed.";
  static override examples = [
    "<%= config.bin %> open vscode dev",
    "<%= config.bin %> open vscode dev /home/coder/project",
    "<%= config.bin %> open vscode --generate-token dev",
  ];
  static override specs = [
    {
      name: "generate-token",
      env: "CODER_OPEN_VSCODE_GENERATE_TOKEN",
      kind: "boolean",
      summary: "Put a new session token into the address, so that VS Code needs no login of its own",
    } as const,
  ];
  static override words = [
    { name: "workspace", summary: "[owner/]workspace[.agent]", required: true },
    { name: "directory", summary: "absolute path in the workspace; default: what was open last" },
  ];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const name = parseWorkspaceName(line.words[0]!);
    const deployment = openDeployment(line.values);
    const workspace = await findWorkspace(deployment, name, { signal });
    const agent = workspace.agents.length === 0 ? undefined : chooseAgent(workspace, name.agent).name;
    const token = booleanFlag(line.values, "generate-token") ? await mintSessionToken(deployment, signal) : undefined;
    const uri = vscodeUri({
      deploymentUrl: deployment.url,
      owner: workspace.ownerName,
      workspace: workspace.name,
      agent,
      folder: line.words[1],
      token,
    });
    try {
      await openAddress(uri);
      say(`Opening ${workspace.ownerName}/${workspace.name} in VS Code`);
    } catch {
      say("Nothing here opens addresses; open this one where VS Code is:");
      process.stdout.write(`${uri}\n`);
    }
  }
}
