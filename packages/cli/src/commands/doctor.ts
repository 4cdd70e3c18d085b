import { deploymentOptions } from "../flags/global.ts";
import { OUTPUT_FLAG } from "../flags/output.ts";
import { PATH_FLAGS, pathOptions } from "../flags/path.ts";
import { AGENT_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

export default class Doctor extends BaseCommand<typeof Doctor> {
  static override summary = "Find out why a connection is not direct, or slow";
  static override description =
    "Connects, waits a few seconds for a direct path, makes both ends check their networks, and lists the causes with their evidence and who must change what. Exit code 0 when the connection is direct and healthy, 1 otherwise.";
  static override examples = ["<%= config.bin %> doctor dev", "<%= config.bin %> doctor dev --output json"];
  static override flags = { ...PATH_FLAGS, ...OUTPUT_FLAG };
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags } = this;
    const { runDoctor } = await import("../entries/network.ts");
    const options = {
      deployment: deploymentOptions(flags),
      connect: pathOptions(this.args.workspace, flags),
      verbose: flags.verbose,
      json: flags.output === "json",
    };
    return runDoctor(options, this.display, signal);
  }
}
