import { probeNetwork } from "coder-client/connection/network-probe";
import { describeUdpCarrier } from "wg-userspace/io/udp/udp-batch";
import { BaseCommand } from "../base-command.ts";
import { netcheckJson, netcheckLines } from "../diagnosis/netcheck-text.ts";
import { EXIT, UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag } from "../flags/spec.ts";
import { openDeployment } from "../services/deployment.ts";
import { localInterfaces } from "../services/interfaces.ts";
import { createLogger } from "../ui/logger.ts";
import { OUTPUT_FLAGS, printJson } from "../ui/output.ts";
import { StageLine } from "../ui/stages.ts";
import { printable } from "../ui/text.ts";

const LIMIT_MS = 30_000;

export default class Netcheck extends BaseCommand {
  static override summary = "Check this machine's network: relays, NAT, STUN, interfaces";
  static override description =
    "Asks the deployment's STUN servers, sends a packet through each of its relays, and says which connections will work. Takes a few seconds, 30 at most. JSON where standard output is no terminal, unless --output says otherwise. Exit code 1 when no relay can be reached.";
  static override examples = ["<%= config.bin %> netcheck", "<%= config.bin %> netcheck --output json"];
  static override specs = OUTPUT_FLAGS.filter((flag) => flag.name === "output");

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    // Editors read the JSON of a stock client without asking for it.
    const chosen =
      line.origins["output"] === "default" && process.stdout.isTTY !== true ? "json" : line.values["output"];
    const json = chosen === "json";
    const stages = new StageLine();
    stages.set("Checking the network");
    const limit = AbortSignal.timeout(LIMIT_MS);
    try {
      const probe = await probeNetwork({
        deployment: openDeployment(line.values),
        disableDirect: booleanFlag(line.values, "disable-direct-connections"),
        signal: AbortSignal.any([signal, limit]),
        logger: createLogger({ verbose: booleanFlag(line.values, "verbose"), logDir: undefined }),
      });
      stages.clear();
      const interfaces = localInterfaces();
      if (json) printJson({ ...netcheckJson(probe, interfaces), udp_carrier: describeUdpCarrier() });
      else
        for (const text of [...netcheckLines(probe, interfaces), `UDP is carried by ${describeUdpCarrier()}`])
          process.stdout.write(`${printable(text)}\n`);
      return probe.relays.some(({ roundTripMs }) => roundTripMs !== undefined) ? EXIT.ok : EXIT.failure;
    } catch (error) {
      if (!limit.aborted || signal.aborted) throw error;
      throw new UserError(`The check did not end within ${LIMIT_MS / 1000} s`, {
        why: "the deployment answers too slowly, or not at all",
        next: ["try again", 'look at the details: add "-v"'],
        code: "ERR_TIMEOUT",
      });
    } finally {
      stages.clear();
    }
  }
}
