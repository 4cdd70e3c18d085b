import { parseWorkspaceName } from "coder-protocol/names";
import { WORKSPACE_WORD } from "../flags/words.ts";
import { PARAMETER_FLAGS, parameterNote, QUIET_YES_FLAG } from "../flags/workspaces.ts";
import { BaseCommand } from "./base-command.ts";

export default class Update extends BaseCommand<typeof Update> {
  static override summary = "Start a workspace with the active version of its template";
  static override description = "A workspace that runs the active version already is left alone.";
  static override examples = ["<%= config.bin %> update dev"];
  static override flags = { ...PARAMETER_FLAGS, ...QUIET_YES_FLAG };
  static override args = WORKSPACE_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { say } = this.display;
    const { startWorkspace } = await import("../rest/workspace-builds.ts");
    const note = parameterNote(this.origins);
    if (note !== undefined) say(note);
    await startWorkspace(
      { deployment: await this.openDeployment(), name: parseWorkspaceName(this.args.workspace), signal, say },
      { reason: "cli", noWait: false, update: true },
    );
  }
}
