import { LISTING_FLAGS } from "../../flags/output.ts";
import { BaseCommand } from "../base-command.ts";

export default class WsproxyList extends BaseCommand<typeof WsproxyList> {
  static override summary = "List workspace proxies and their health";
  static override description = "The first one is the deployment itself. Owners only.";
  static override examples = [
    "<%= config.bin %> wsproxy list",
    "<%= config.bin %> wsproxy list --column name,status,version",
    "<%= config.bin %> wsproxy list --output json",
  ];
  static override flags = LISTING_FLAGS;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { listProxies } = await import("../../rest/workspace-proxies.ts");
    const { PROXY_COLUMNS } = await import("../../ui/proxy-table.ts");
    const { listingText } = await import("../../ui/output.ts");
    const { regions } = await listProxies(await this.openDeployment(), signal);
    this.display.print(listingText(this.flags, PROXY_COLUMNS, regions, regions));
  }
}
