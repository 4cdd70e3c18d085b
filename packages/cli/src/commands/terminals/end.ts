import { word } from "../../flags/kinds.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class TerminalsEnd extends BaseCommand<typeof TerminalsEnd> {
  static override summary = "End a terminal of a workspace: its programs are hung up, and killed after five seconds";
  static override examples = ["<%= config.bin %> terminals end demo 0b7f6e57"];
  static override args = {
    ...AGENT_WORD,
    terminal: word({ required: true, description: "Its id, or the beginning of it" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { endTerminal } = await import("../../rest/terminals.ts");
    const { workspace, terminal } = this.args;
    await endTerminal(await this.openDeployment(), workspace, terminal, signal);
    this.display.say("Terminal has been ended.");
  }
}
