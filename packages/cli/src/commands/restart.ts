import { parseWorkspaceName } from "coder-protocol/names";
import { YES_FLAG } from "../flags/output.ts";
import { WORKSPACE_WORD } from "../flags/words.ts";
import { PARAMETER_FLAGS, parameterNote } from "../flags/workspaces.ts";
import { BaseCommand } from "./base-command.ts";

export default class Restart extends BaseCommand<typeof Restart> {
  static override summary = "Stop a workspace and start it again";
  static override examples = ["<%= config.bin %> restart dev", "<%= config.bin %> restart --yes dev"];
  static override flags = { ...PARAMETER_FLAGS, ...YES_FLAG };
  static override args = WORKSPACE_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { say } = this.display;
    const { startWorkspace, stopWorkspace } = await import("../rest/workspace-builds.ts");
    const note = parameterNote(this.origins);
    if (note !== undefined) say(note);
    const name = parseWorkspaceName(this.args.workspace);
    if (!this.flags.yes && !(await this.confirm(`Restart workspace "${name.workspace}"?`, signal))) {
      say("Nothing was restarted");
      return;
    }
    const request = { deployment: await this.openDeployment(), name, signal, say };
    await stopWorkspace(request);
    await startWorkspace(request, { reason: "cli", noWait: false, update: false });
  }
}
