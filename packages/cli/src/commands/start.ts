import { parseWorkspaceName } from "coder-protocol/names";
import { choice, toggle } from "../flags/kinds.ts";
import { WORKSPACE_WORD } from "../flags/words.ts";
import { PARAMETER_FLAGS, parameterNote, QUIET_YES_FLAG } from "../flags/workspaces.ts";
import { BaseCommand } from "./base-command.ts";

export default class Start extends BaseCommand<typeof Start> {
  static override summary = "Start a workspace";
  static override description =
    "For an external workspace this lets its agent connect to the deployment; powering the machine is up to its owner.";
  static override examples = ["<%= config.bin %> start dev"];
  static override flags = {
    "no-wait": toggle({ summary: "Return once the start has been requested" }),
    reason: choice({
      helpValue: "<reason>",
      options: ["cli", "dashboard", "ssh_connection", "vscode_connection", "jetbrains_connection"],
      default: "cli",
      summary: "What the start is recorded as",
      hidden: true,
    }),
    ...PARAMETER_FLAGS,
    ...QUIET_YES_FLAG,
  };
  static override args = WORKSPACE_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags } = this;
    const { say } = this.display;
    const { startWorkspace } = await import("../rest/workspace-builds.ts");
    const note = parameterNote(this.origins);
    if (note !== undefined) say(note);
    await startWorkspace(
      { deployment: await this.openDeployment(), name: parseWorkspaceName(this.args.workspace), signal, say },
      { reason: flags.reason, noWait: flags["no-wait"], update: false },
    );
  }
}
