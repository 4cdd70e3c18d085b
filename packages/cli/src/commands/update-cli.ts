import { isSea } from "node:sea";
import { VERSION } from "../base/version.ts";
import { deploymentOptions } from "../flags/global.ts";
import { BaseCommand } from "./base-command.ts";

export default class UpdateCli extends BaseCommand<typeof UpdateCli> {
  static override summary = "Replace this command with the deployment's version of it";
  static override description =
    "Downloads that version, checks its SHA-256, tries it, and replaces this one; if anything fails, this one stays. To update a workspace see update.";
  static override examples = ["<%= config.bin %> update-cli"];

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { say } = this.display;
    const { openDeployment } = await import("../rest/deployment.ts");
    const { updateProgram } = await import("../rest/self-update.ts");
    const single = isSea();
    const program = {
      path: single ? process.execPath : process.argv[1]!,
      single,
      platform: process.platform,
      arch: process.arch,
      version: VERSION,
    };
    const deployment = openDeployment({ ...deploymentOptions(this.flags), versionWarning: false });
    const done = await updateProgram(deployment, program, { signal, say });
    if (done.kind === "same") say(`${done.path} is already the deployment's version (${done.version}).`);
    else if (done.before === done.after) say(`Replaced ${done.path} by the deployment's build of ${done.after}.`);
    else say(`Updated ${done.path} from ${done.before} to ${done.after}.`);
  }
}
