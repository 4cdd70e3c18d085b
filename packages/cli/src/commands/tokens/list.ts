import { toggle } from "../../flags/kinds.ts";
import { LISTING_FLAGS } from "../../flags/output.ts";
import { BaseCommand } from "../base-command.ts";

export default class TokensList extends BaseCommand<typeof TokensList> {
  static override summary = "List API tokens";
  static override examples = ["<%= config.bin %> tokens list"];
  static override flags = {
    all: toggle({ char: "a", summary: "Tokens of all users, for owners" }),
    ...LISTING_FLAGS,
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { listTokens } = await import("../../rest/tokens.ts");
    const { TOKEN_COLUMNS } = await import("../../ui/token-table.ts");
    const { listingText } = await import("../../ui/output.ts");
    const tokens = await listTokens(await this.openDeployment(), this.flags.all, signal);
    if (tokens.length === 0 && this.flags.output !== "json") this.display.say("No tokens found.");
    else this.display.print(listingText(this.flags, TOKEN_COLUMNS, tokens, tokens));
  }
}
