import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { openDeployment } from "../../services/deployment.ts";
import { findUser } from "../../services/users.ts";
import { OUTPUT_FLAGS, printJson } from "../../ui/output.ts";
import { userDetails } from "../../ui/user-table.ts";

export default class UsersShow extends BaseCommand {
  static override summary = "Show one user";
  static override examples = ["<%= config.bin %> users show alice", "<%= config.bin %> users show me"];
  static override specs = OUTPUT_FLAGS.filter((flag) => flag.name === "output");
  static override words = [{ name: "user", summary: "User name, id, or me", required: true }];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const user = await findUser(openDeployment(line.values), line.words[0]!, signal);
    if (line.values["output"] === "json") printJson(user);
    else process.stdout.write(userDetails(user));
  }
}
