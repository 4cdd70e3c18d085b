import { describeLibc } from "coder-agent/os/libc";
import { originAtRunTime } from "wg-userspace/io/host/run-time-require";
import { describeUdpCarrier } from "wg-userspace/io/udp/udp-batch";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../flags/spec.ts";
import { versionJson, versionLine } from "../services/version-text.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "output",
    char: "o",
    kind: "string",
    options: ["text", "json"],
    default: "text",
    summary: "Print text or JSON",
  },
];

export default class Version extends BaseCommand {
  static override summary = "Print the version of this client";
  static override description =
    "With --verbose also where the program is loaded from, and what carries datagrams and makes terminals here.";
  static override examples = ["<%= config.bin %> version", "<%= config.bin %> version --output json"];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine): Promise<undefined> {
    if (line.values["output"] === "json") {
      process.stdout.write(versionJson());
    } else {
      process.stdout.write(versionLine());
      if (booleanFlag(line.values, "verbose"))
        process.stdout.write(
          [
            `Program: ${originAtRunTime("./cli.cjs", import.meta.url)}`,
            `UDP: ${describeUdpCarrier()}`,
            `Terminals: ${describeLibc()}\n`,
          ].join("\n"),
        );
    }
  }
}
