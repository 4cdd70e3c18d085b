import { PROXY_TOKEN_FLAGS, PROXY_WORD } from "../../flags/proxies.ts";
import { BaseCommand } from "../base-command.ts";

export default class WsproxyRegenerateToken extends BaseCommand<typeof WsproxyRegenerateToken> {
  static override summary = "Give a workspace proxy a new token and print it once";
  static override description =
    "The old token is refused from then on, and the proxy's region leaves the relay map until it has registered with the new one. Terminals and web apps that are open through it end at once. Owners only.";
  static override examples = [
    "<%= config.bin %> wsproxy regenerate-token sydney",
    "<%= config.bin %> wsproxy regenerate-token sydney --only-token > proxy-token",
  ];
  static override flags = PROXY_TOKEN_FLAGS;
  static override args = PROXY_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { editProxy, tokenText } = await import("../../rest/workspace-proxies.ts");
    const { jsonText } = await import("../../ui/output.ts");
    const made = await editProxy(await this.openDeployment(), this.args.proxy, { regenerate_token: true }, signal);
    if (this.flags["only-token"]) this.display.print(`${made.proxy_token}\n`);
    else if (this.flags.output === "json") this.display.print(jsonText(made));
    else {
      this.display.say(`The old token of ${made.proxy.name} is refused from now on.`);
      this.display.print(tokenText(made));
    }
  }
}
