import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { SERVER_FLAGS } from "../../flags/server.ts";

const ASKED = ["http-address", "tls-enable", "tls-address", "tls-cert-file", "tls-key-file"];

export default class ServerHealth extends BaseCommand {
  static override summary = "Ask the server of this machine whether it serves, for health checks";
  static override description =
    "Exits with 0 when it does, with 1 when it does not. Takes the same options and variables as the server, of which it needs the address.";
  static override examples = [
    "<%= config.bin %> server health",
    "<%= config.bin %> server health --http-address 127.0.0.1:8080",
  ];
  static override specs = SERVER_FLAGS.filter(({ name }) => ASKED.includes(name));

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const { runHealth } = await import("../../services/server.ts");
    return runHealth(line, signal);
  }
}
