import { YES_FLAG } from "../../flags/output.ts";
import { APP_WORD, WORKSPACE_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class AppsApprove extends BaseCommand<typeof AppsApprove> {
  static override summary = "Share an app at the level that its agent requests";
  static override description =
    "An agent can declare apps but cannot share them. The approval covers this app at this address: if the agent changes the address, only the owner may use the app again.";
  static override examples = ["<%= config.bin %> apps approve dev web"];
  static override flags = YES_FLAG;
  static override args = { ...WORKSPACE_WORD, ...APP_WORD };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { printable } = await import("../../base/text.ts");
    const { approveApp, findApp, findAppPlace } = await import("../../rest/apps.ts");
    const deployment = await this.openDeployment();
    const place = await findAppPlace(deployment, this.args.workspace, signal);
    const app = await findApp(deployment, place, this.args.app, signal);
    if (app.requested_level === undefined) {
      this.display.say(`App "${app.slug}" requests no wider level than it has: ${app.sharing_level}`);
      return;
    }
    const question = `Share ${printable(app.url)} of workspace "${place.workspace.name}" at the level "${app.requested_level}"?`;
    if (!this.flags.yes && !(await this.confirm(question, signal))) {
      this.display.say("Nothing was shared");
      return;
    }
    await approveApp(deployment, place, app, signal);
    this.display.say(`App "${app.slug}" is shared at the level "${app.requested_level}"`);
  }
}
