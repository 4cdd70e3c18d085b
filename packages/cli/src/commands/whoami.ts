import { printable } from "../base/text.ts";
import { OUTPUT_FLAG } from "../flags/output.ts";
import { BaseCommand } from "./base-command.ts";

export default class Whoami extends BaseCommand<typeof Whoami> {
  static override summary = "Print which deployment and user this login is for";
  static override examples = ["<%= config.bin %> whoami"];
  static override flags = OUTPUT_FLAG;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { currentUser } = await import("../rest/login.ts");
    const { jsonText } = await import("../ui/output.ts");
    const deployment = await this.openDeployment();
    const user = await currentUser(deployment, signal);
    const url = deployment.url.href.replace(/\/$/, "");
    if (this.flags.output === "json") {
      this.display.print(
        jsonText([
          { url, username: user.username, user_id: user.id, organization_ids: user.organizationIds, roles: user.roles },
        ]),
      );
    } else {
      this.display.print(`Coder is running at ${url}, You're authenticated as ${printable(user.username)} !\n`);
    }
  }
}
