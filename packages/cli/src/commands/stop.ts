import { parseWorkspaceName } from "coder-protocol/names";
import { YES_FLAG } from "../flags/output.ts";
import { WORKSPACE_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

export default class Stop extends BaseCommand<typeof Stop> {
  static override summary = "Stop a workspace";
  static override description =
    "Ends its connections. For an external workspace this keeps its agent from connecting to the deployment; the machine itself runs on.";
  static override examples = ["<%= config.bin %> stop dev", "<%= config.bin %> stop --yes dev"];
  static override flags = YES_FLAG;
  static override args = WORKSPACE_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { stopWorkspace } = await import("../rest/workspace-builds.ts");
    const name = parseWorkspaceName(this.args.workspace);
    if (!this.flags.yes && !(await this.confirm(`Stop workspace "${name.workspace}"?`, signal))) {
      this.display.say("Nothing was stopped");
      return;
    }
    await stopWorkspace({ deployment: await this.openDeployment(), name, signal, say: this.display.say });
  }
}
