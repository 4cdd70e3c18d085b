import { LISTING_FLAGS } from "../../flags/output.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class AppsList extends BaseCommand<typeof AppsList> {
  static override summary = "List the apps of a workspace";
  static override examples = ["<%= config.bin %> apps list dev", "<%= config.bin %> apps list dev --output json"];
  static override flags = LISTING_FLAGS;
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { findAppPlace, listApps } = await import("../../rest/apps.ts");
    const { appAddress, applicationsHost } = await import("../../rest/app-address.ts");
    const { APP_COLUMNS } = await import("../../ui/app-table.ts");
    const { listingText } = await import("../../ui/output.ts");
    const deployment = await this.openDeployment();
    const place = await findAppPlace(deployment, this.args.workspace, signal);
    const { name: workspace, ownerName: owner } = place.workspace;
    const apps = await listApps(deployment, place, signal);
    if (apps.length === 0 && this.flags.output !== "json") {
      this.display.say(`Workspace "${workspace}" has no apps`);
      return;
    }
    const host = await applicationsHost(deployment, signal);
    const rows = apps.map((app) => {
      const names = { slug: app.slug, agent: app.agent_name, workspace, owner, subdomainName: app.subdomain_name };
      const served = !app.external && app.url !== "";
      return { ...app, address: served ? appAddress(deployment.url, host, names) : app.url };
    });
    this.display.print(listingText(this.flags, APP_COLUMNS, rows, rows));
  }
}
