import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { openDeployment } from "../../services/deployment.ts";
import { removeToken } from "../../services/tokens.ts";
import { say } from "../../ui/say.ts";

const WORDS = [{ name: "token", summary: "Name, id, or the token itself", required: true }];

export default class TokensRemove extends BaseCommand {
  static override summary = "Remove an API token: it is refused from then on";
  static override examples = ["<%= config.bin %> tokens remove ci"];
  static override words = WORDS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    await removeToken(openDeployment(line.values), line.words[0]!, signal);
    say("Token has been removed.");
  }
}
