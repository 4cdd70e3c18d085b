import { UsageError } from "../errors/usage-error.ts";
import { deploymentOptions } from "../flags/global.ts";
import { choice, duration, text, toggle } from "../flags/kinds.ts";
import { LISTING_FLAGS } from "../flags/output.ts";
import { PATH_FLAGS, pathOptions } from "../flags/path.ts";
import { AGENT_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

const MIN_MS = 1_000;
const MAX_MS = 30_000;

export default class Speedtest extends BaseCommand<typeof Speedtest> {
  static override summary = "Measure how fast data goes to or comes from a workspace";
  static override description =
    "Sends random data through the tunnel in one direction and prints the throughput of every second and of the whole test. A stopped workspace is not started. Give --direct to measure the direct path: otherwise the test starts on the path there is.";
  static override examples = [
    "<%= config.bin %> speedtest dev",
    "<%= config.bin %> speedtest --direct --direction up -t 10s dev",
    "<%= config.bin %> speedtest --output json dev",
  ];
  static override flags = {
    time: duration({
      char: "t",
      helpValue: "<duration>",
      default: 5_000,
      summary: "How long the test sends data: 1s to 30s",
    }),
    direction: choice({
      options: ["up", "down"],
      default: "down",
      summary: "Whether this machine receives (down) or sends (up)",
    }),
    direct: toggle({ char: "d", summary: "Wait until the connection is direct, then start" }),
    "pcap-file": text({
      helpValue: "<file>",
      summary: "Write the packets inside the tunnel to this file, for Wireshark; an old one is replaced",
    }),
    ...PATH_FLAGS,
    ...LISTING_FLAGS,
  };
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags } = this;
    if (flags.time < MIN_MS || flags.time > MAX_MS)
      throw new UsageError(
        `--time is ${flags.time / 1000} seconds; it takes ${MIN_MS / 1000} to ${MAX_MS / 1000} seconds`,
      );
    if (flags.direct && flags["disable-direct-connections"])
      throw new UsageError("--direct and --disable-direct-connections exclude each other");
    const { runSpeedtest } = await import("../entries/network.ts");
    const options = {
      deployment: deploymentOptions(flags),
      connect: pathOptions(this.args.workspace, flags),
      verbose: flags.verbose,
      durationMs: flags.time,
      direction: flags.direction,
      direct: flags.direct,
      pcapFile: flags["pcap-file"],
      columns: flags.column ?? [],
      json: flags.output === "json",
    };
    return runSpeedtest(options, this.display, signal);
  }
}
