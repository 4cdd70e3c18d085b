import { deploymentOptions } from "../flags/global.ts";
import { OUTPUT_FLAG } from "../flags/output.ts";
import { BaseCommand } from "./base-command.ts";

export default class Netcheck extends BaseCommand<typeof Netcheck> {
  static override summary = "Check this machine's network: relays, NAT, STUN, interfaces";
  static override description =
    "Asks the deployment's STUN servers, sends a packet through each of its relays, lists its workspace proxies with status and latency, and says which connections will work. Takes a few seconds, 30 at most. Prints JSON if standard output is not a terminal, unless --output says otherwise. Exit code 1 when no relay can be reached.";
  static override examples = ["<%= config.bin %> netcheck", "<%= config.bin %> netcheck --output json"];
  static override flags = OUTPUT_FLAG;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags, display } = this;
    const { runNetcheck } = await import("../entries/network.ts");
    // Editors expect a stock client's JSON without a flag that requests it.
    const asked = this.origins["output"] !== "default";
    const options = {
      deployment: deploymentOptions(flags),
      disableDirect: flags["disable-direct-connections"],
      verbose: flags.verbose,
      json: asked ? flags.output === "json" : !display.live,
    };
    return runNetcheck(options, display, signal);
  }
}
