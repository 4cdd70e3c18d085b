import { APP_FLAGS, appWords } from "../../flags/apps.ts";
import { toggle, word } from "../../flags/kinds.ts";
import { AGENT_WORD } from "../../flags/words.ts";
import { BaseCommand } from "../base-command.ts";

export default class AppsAdd extends BaseCommand<typeof AppsAdd> {
  static override summary = "Declare an app of a workspace";
  static override examples = [
    '<%= config.bin %> apps add dev code --app-url "http://127.0.0.1:8080/?folder=/home/dev" --name "VS Code" --icon /icon/code.svg',
    "<%= config.bin %> apps add dev web --app-url http://127.0.0.1:5173 --health / --share authenticated",
  ];
  static override flags = {
    ...APP_FLAGS,
    external: toggle({
      summary: "The address opens on the client: it is a web page or an editor, not a program in the workspace",
    }),
    hidden: toggle({ summary: "Reachable, but not shown" }),
  };
  static override args = {
    ...AGENT_WORD,
    app: word({ required: true, description: "its name in addresses: lower-case letters, digits and hyphens" }),
  };

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { appBody } = await import("../../base/app-text.ts");
    const { addApp, findAppPlace } = await import("../../rest/apps.ts");
    const { external, hidden, ...flags } = this.flags;
    const deployment = await this.openDeployment();
    const place = await findAppPlace(deployment, this.args.workspace, signal);
    const body = { slug: this.args.app, external, hidden, ...appBody(appWords(flags), flags["app-url"]) };
    await addApp(deployment, place, body, signal);
    this.display.say(`App "${this.args.app}" was added to workspace "${place.workspace.name}"`);
    this.display.say(`Open it with: coder open app ${this.args.workspace} ${this.args.app}`);
  }
}
