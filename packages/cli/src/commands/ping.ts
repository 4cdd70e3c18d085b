import { UsageError } from "../errors/usage-error.ts";
import { deploymentOptions } from "../flags/global.ts";
import { choice, duration, integer, toggle } from "../flags/kinds.ts";
import { PATH_FLAGS, pathOptions } from "../flags/path.ts";
import { AGENT_WORD } from "../flags/words.ts";
import { BaseCommand } from "./base-command.ts";

export default class Ping extends BaseCommand<typeof Ping> {
  static override summary = "Ping a workspace: which path it takes, how long it needs, and why it is not direct";
  static override description =
    "Says for every answer whether it came directly (p2p) or through a relay (DERP). If the connection is not direct, lists the causes on both sides with their evidence. A stopped workspace is not started. Exit code 1 when no ping was answered.";
  static override examples = [
    "<%= config.bin %> ping dev",
    "<%= config.bin %> ping -n 5 --time dev",
    "<%= config.bin %> ping -n 1 --output json dev",
    "<%= config.bin %> ping --output jsonl dev",
    "<%= config.bin %> ping --region sydney --disable-direct-connections dev",
  ];
  static override flags = {
    num: integer({
      char: "n",
      helpValue: "<count>",
      default: 0,
      summary: "Stop after this many pings; 0 goes on until Ctrl-C",
    }),
    wait: duration({ helpValue: "<duration>", default: 1_000, summary: "Time from one ping to the next" }),
    timeout: duration({ char: "t", helpValue: "<duration>", default: 5_000, summary: "How long one ping may take" }),
    time: toggle({ summary: "Print the local time before each line" }),
    utc: toggle({ summary: "Print the time in UTC before each line" }),
    ...PATH_FLAGS,
    output: choice({
      char: "o",
      options: ["table", "json", "jsonl"],
      default: "table",
      summary: "Print lines for people, one JSON document at the end, or a JSON line for every ping as it comes",
    }),
  };
  static override args = AGENT_WORD;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags } = this;
    if (flags.num < 0) throw new UsageError(`--num is ${flags.num}; it takes 0 or more`);
    if (flags.timeout <= 0) throw new UsageError("--timeout takes more than 0");
    const { runPing } = await import("../entries/network.ts");
    const options = {
      deployment: deploymentOptions(flags),
      connect: pathOptions(this.args.workspace, flags),
      verbose: flags.verbose,
      count: flags.num,
      everyMs: flags.wait,
      timeoutMs: flags.timeout,
      stamp: flags.utc ? ("utc" as const) : flags.time ? ("local" as const) : undefined,
      output: flags.output,
    };
    return runPing(options, this.display, signal);
  }
}
