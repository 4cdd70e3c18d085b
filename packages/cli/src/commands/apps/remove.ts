import { APP_WORD, WORKSPACE_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class AppsRemove extends BaseCommand<typeof AppsRemove> {
  static override summary = "Remove an app of a workspace";
  static override description =
    "The program itself is not touched. An app that the agent declares comes back when the agent starts.";
  static override examples = ["<%= config.bin %> apps remove dev web"];
  static override args = { ...WORKSPACE_WORD, ...APP_WORD };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { findApp, findAppPlace, removeApp } = await import("../../rest/apps.ts");
    const deployment = await this.openDeployment();
    const place = await findAppPlace(deployment, this.args.workspace, signal);
    const app = await findApp(deployment, place, this.args.app, signal);
    await removeApp(deployment, place, app.slug, signal);
    this.display.say(`App "${app.slug}" was removed`);
  }
}
