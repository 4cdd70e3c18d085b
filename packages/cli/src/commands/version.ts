import { originAtRunTime } from "wg-userspace/io/host/run-time-require";
import { toggle } from "../flags/kinds.ts";
import { TEXT_OUTPUT_FLAG } from "../flags/output.ts";
import { BaseCommand } from "./base-command.ts";

export default class Version extends BaseCommand<typeof Version> {
  static override summary = "Print the version of this client";
  static override description =
    "With --verbose, also prints where the program was loaded from, and what it uses for UDP and terminals.";
  static override examples = ["<%= config.bin %> version", "<%= config.bin %> version --output json"];
  static override flags = {
    output: TEXT_OUTPUT_FLAG,
    licenses: toggle({ summary: "Print the licenses of everything that this program consists of" }),
  };

  protected override async execute(): Promise<undefined> {
    if (this.flags.licenses) {
      const { licencesText } = await import("../hosting/licences.ts");
      this.display.print(licencesText());
      return;
    }
    const { versionJson, versionLine } = await import("../hosting/version-text.ts");
    if (this.flags.output === "json") {
      this.display.print(versionJson());
    } else {
      this.display.print(versionLine());
      if (this.flags.verbose) this.display.print(await this.#details());
    }
  }

  async #details(): Promise<string> {
    const { describeLibc } = await import("coder-agent/os/libc");
    const { describeUdpCarrier } = await import("wg-userspace/io/udp/udp-batch");
    return [
      `Program: ${originAtRunTime("./cli.cjs", import.meta.url)}`,
      `UDP: ${describeUdpCarrier()}`,
      `Terminals: ${describeLibc()}\n`,
    ].join("\n");
  }
}
