import { describeLibc } from "coder-agent/os/libc";
import { originAtRunTime } from "wg-userspace/io/run-time-require";
import { describeUdpCarrier } from "wg-userspace/io/udp-batch";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../flags/spec.ts";
import { printJson } from "../ui/output.ts";
import { VERSION } from "../version.ts";

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
      printJson({
        version: VERSION,
        build_time: "0001-01-01T00:00:00Z",
        external_url: "",
        slim: false,
        agpl: true,
        boring_crypto: false,
      });
    } else {
      process.stdout.write(
        `Coder ${VERSION} (TypeScript), Node ${process.version}, ${process.platform} ${process.arch}\n`,
      );
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
