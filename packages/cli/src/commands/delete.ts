import { parseWorkspaceName } from "coder-protocol/names";
import { toggle } from "../flags/kinds.ts";
import { YES_FLAG } from "../flags/output.ts";
import { WORKSPACE_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

export default class Delete extends BaseCommand<typeof Delete> {
  static override summary = "Delete a workspace";
  static override description =
    "Removes the workspace from the deployment: its connections end, and its agent's token becomes invalid. The machine and its files stay. The name can be used again.";
  static override examples = ["<%= config.bin %> delete dev", "<%= config.bin %> delete --yes dev"];
  static override flags = {
    ...YES_FLAG,
    orphan: toggle({ summary: "Accepted for compatibility: no machine is destroyed in any case", hidden: true }),
  };
  static override args = WORKSPACE_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { deleteWorkspace, fetchWorkspace } = await import("../rest/workspace-builds.ts");
    const request = {
      deployment: await this.openDeployment(),
      name: parseWorkspaceName(this.args.workspace),
      signal,
      say: this.display.say,
    };
    const workspace = await fetchWorkspace(request);
    const question = `Delete workspace "${workspace.owner_name}/${workspace.name}"?`;
    if (!this.flags.yes && !(await this.confirm(question, signal))) {
      this.display.say("Nothing was deleted");
      return;
    }
    await deleteWorkspace(request);
  }
}
