import { parseWorkspaceName } from "coder-protocol/names";
import { word } from "../flags/kinds.ts";
import { WORKSPACE_WORD } from "../flags/words.ts";
import { QUIET_YES_FLAG } from "../flags/workspaces.ts";
import { BaseCommand } from "./base-command.ts";

export default class Rename extends BaseCommand<typeof Rename> {
  static override summary = "Rename a workspace";
  static override description = "Open connections stay. New ones reach it only by the new name.";
  static override examples = ["<%= config.bin %> rename dev build-box"];
  static override flags = QUIET_YES_FLAG;
  static override args = {
    ...WORKSPACE_WORD,
    "new-name": word({ required: true, description: "Its new name" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { renameWorkspace } = await import("../rest/workspace-builds.ts");
    const name = parseWorkspaceName(this.args.workspace);
    await renameWorkspace(
      { deployment: await this.openDeployment(), name, signal, say: this.display.say },
      this.args["new-name"],
    );
  }
}
