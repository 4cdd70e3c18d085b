import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { openDeployment } from "../services/deployment.ts";
import { currentUser } from "../services/login.ts";
import { OUTPUT_FLAGS, printJson } from "../ui/output.ts";
import { printable } from "../ui/text.ts";

const FLAGS = OUTPUT_FLAGS.filter((flag) => flag.name === "output");

export default class Whoami extends BaseCommand {
  static override summary = "Print which deployment and user this login is for";
  static override examples = ["<%= config.bin %> whoami"];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const deployment = openDeployment(line.values);
    const user = await currentUser(deployment, signal);
    const url = deployment.url.href.replace(/\/$/, "");
    if (line.values["output"] === "json") {
      printJson([
        { url, username: user.username, user_id: user.id, organization_ids: user.organizationIds, roles: user.roles },
      ]);
    } else {
      process.stdout.write(`Coder is running at ${url}, You're authenticated as ${printable(user.username)} !\n`);
    }
  }
}
