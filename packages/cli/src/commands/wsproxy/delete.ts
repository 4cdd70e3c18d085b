import { YES_FLAG } from "../../flags/output.ts";
import { PROXY_WORD } from "../../flags/proxies.ts";
import { BaseCommand } from "../base-command.ts";

export default class WsproxyDelete extends BaseCommand<typeof WsproxyDelete> {
  static override summary = "Delete a workspace proxy: its token is refused and its region leaves the relay map";
  static override description =
    "Sessions that it relays go on through another relay; terminals and web apps that are open through it end at once. Owners only.";
  static override examples = [
    "<%= config.bin %> wsproxy delete sydney",
    "<%= config.bin %> wsproxy delete sydney --yes",
  ];
  static override flags = YES_FLAG;
  static override args = PROXY_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { deleteProxy } = await import("../../rest/workspace-proxies.ts");
    const { proxy } = this.args;
    const deployment = await this.openDeployment();
    if (!this.flags.yes && !(await this.confirm(`Delete the workspace proxy ${proxy}?`, signal))) {
      this.display.say("Nothing was deleted.");
      return;
    }
    await deleteProxy(deployment, proxy, signal);
    this.display.say(`Workspace proxy ${proxy} has been deleted.`);
  }
}
