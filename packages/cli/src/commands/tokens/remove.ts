import { word } from "../../flags/kinds.ts";
import { BaseCommand } from "../base-command.ts";

export default class TokensRemove extends BaseCommand<typeof TokensRemove> {
  static override summary = "Remove an API token, which is then refused";
  static override examples = ["<%= config.bin %> tokens remove ci"];
  static override args = { token: word({ required: true, description: "Name, id, or the token itself" }) };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { removeToken } = await import("../../rest/tokens.ts");
    await removeToken(await this.openDeployment(), this.args.token, signal);
    this.display.say("Token has been removed.");
  }
}
