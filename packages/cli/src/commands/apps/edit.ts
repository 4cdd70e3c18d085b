import { UsageError } from "../../errors/usage-error.ts";
import { APP_FLAGS, appWords } from "../../flags/apps.ts";
import { APP_WORD, WORKSPACE_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class AppsEdit extends BaseCommand<typeof AppsEdit> {
  static override summary = "Change an app of a workspace";
  static override description = "Properties without a flag stay as they are.";
  static override examples = [
    "<%= config.bin %> apps edit dev web --share public",
    '<%= config.bin %> apps edit dev web --health ""',
  ];
  static override flags = APP_FLAGS;
  static override args = { ...WORKSPACE_WORD, ...APP_WORD };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { appBody } = await import("../../base/app-text.ts");
    const { changeApp, findApp, findAppPlace } = await import("../../rest/apps.ts");
    const words = appWords(this.flags);
    if (Object.values(words).every((value) => value === undefined))
      throw new UsageError("nothing to change: name a flag, such as --share or --app-url");
    const deployment = await this.openDeployment();
    const place = await findAppPlace(deployment, this.args.workspace, signal);
    const app = await findApp(deployment, place, this.args.app, signal);
    await changeApp(deployment, place, app.slug, appBody(words, words.url ?? app.url), signal);
    this.display.say(`App "${app.slug}" was changed`);
  }
}
