import { UsageError } from "../../errors/usage-error.ts";
import { exactText, text } from "../../flags/kinds.ts";
import { PROXY_TEXT_FLAGS, PROXY_WORD } from "../../flags/proxies.ts";
import { BaseCommand } from "../base-command.ts";

export default class WsproxyEdit extends BaseCommand<typeof WsproxyEdit> {
  static override summary = "Change a workspace proxy's name, display name, icon or address";
  static override description =
    "A running proxy cannot change its address while the registered one answers: an owner changes it with --access-url and --wildcard-access-url. Owners only.";
  static override examples = [
    '<%= config.bin %> wsproxy edit sydney --display-name "Sydney, Australia"',
    "<%= config.bin %> wsproxy edit sydney --access-url https://sydney.coder.example.com",
  ];
  static override flags = {
    name: text({ helpValue: "<name>", summary: "Another name" }),
    ...PROXY_TEXT_FLAGS,
    "access-url": text({ helpValue: "<url>", summary: "New access URL, which the proxy has to be started with too" }),
    "wildcard-access-url": exactText({
      helpValue: "<host>",
      summary: "New wildcard host name, such as *.apps.example.com; empty for none",
    }),
  };
  static override args = PROXY_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { editProxy } = await import("../../rest/workspace-proxies.ts");
    const { name, icon, "display-name": displayName } = this.flags;
    const { "access-url": accessUrl, "wildcard-access-url": wildcard } = this.flags;
    const change = { name, icon, display_name: displayName, access_url: accessUrl, wildcard_hostname: wildcard };
    if (Object.values(change).every((value) => value === undefined))
      throw new UsageError(
        "nothing to change; give --name, --display-name, --icon, --access-url or --wildcard-access-url",
      );
    const { proxy } = await editProxy(await this.openDeployment(), this.args.proxy, change, signal);
    this.display.say(`Workspace proxy ${proxy.name} has been changed.`);
  }
}
