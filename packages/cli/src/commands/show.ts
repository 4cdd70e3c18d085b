import { parseWorkspaceName } from "coder-protocol/names";
import { toggle } from "../flags/kinds.ts";
import { OUTPUT_FLAG } from "../flags/output.ts";
import { WORKSPACE_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

export default class Show extends BaseCommand<typeof Show> {
  static override summary = "Show a workspace, its agents and how to reach them";
  static override examples = ["<%= config.bin %> show demo", "<%= config.bin %> show --details demo"];
  static override flags = {
    details: toggle({ summary: "Show ids, platform, directory, scripts and apps as well" }),
    ...OUTPUT_FLAG,
  };
  static override args = WORKSPACE_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags } = this;
    const { print } = this.display;
    const { fetchWorkspace } = await import("../rest/workspace-builds.ts");
    const { workspaceText } = await import("../rest/run-show.ts");
    const { jsonText } = await import("../ui/output.ts");
    const deployment = await this.openDeployment();
    const name = parseWorkspaceName(this.args.workspace);
    const workspace = await fetchWorkspace({ deployment, name, signal });
    if (flags.output === "json") print(jsonText(workspace));
    else print(await workspaceText(deployment, workspace, flags.details, signal));
  }
}
