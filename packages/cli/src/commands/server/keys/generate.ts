import { text } from "../../../flags/kinds.ts";
import { BaseCommand } from "../../base-command.ts";

export default class ServerKeysGenerate extends BaseCommand<typeof ServerKeysGenerate> {
  static override summary = "Make a key file for servers that share a PostgreSQL database";
  static override description =
    "Every server of a deployment needs the same keys.json. Make it before the first start, keep it as a secret, and give it to each server with --keys-file. A single server makes its own.";
  static override examples = ["<%= config.bin %> server keys generate --out /etc/coder/keys.json"];
  static override flags = {
    out: text({ helpValue: "<file>", summary: "File to write (mode 0600), which must not exist; default: keys.json" }),
  };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { runGenerateKeys } = await import("../../../hosting/server.ts");
    return runGenerateKeys(this.flags.out ?? "keys.json", this.display, signal);
  }
}
