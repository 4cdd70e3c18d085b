import { LISTING_FLAGS } from "../../flags/output.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class TerminalsList extends BaseCommand<typeof TerminalsList> {
  static override summary = "List the terminals that run in a workspace, with viewers or without";
  static override examples = [
    "<%= config.bin %> terminals list demo",
    "<%= config.bin %> terminals list demo --output json",
  ];
  static override flags = LISTING_FLAGS;
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { listTerminals } = await import("../../rest/terminals.ts");
    const { TERMINAL_COLUMNS } = await import("../../ui/terminal-table.ts");
    const { listingText } = await import("../../ui/output.ts");
    const terminals = await listTerminals(await this.openDeployment(), this.args.workspace, signal);
    if (terminals.length === 0 && this.flags.output !== "json") this.display.say("No terminal is running.");
    else this.display.print(listingText(this.flags, TERMINAL_COLUMNS, terminals, terminals));
  }
}
