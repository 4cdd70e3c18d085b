import { givenServerFlags, SERVER_FLAGS } from "../../flags/server.ts";
import { BaseCommand } from "../base-command.ts";

export default class ServerHealth extends BaseCommand<typeof ServerHealth> {
  static override summary = "Ask the server on this machine whether it is healthy";
  static override description =
    "Exits with 0 if it is, otherwise with 1. Takes the same options and variables as the server, but uses only the address.";
  static override examples = [
    "<%= config.bin %> server health",
    "<%= config.bin %> server health --http-address 127.0.0.1:8080",
  ];
  static override flags = {
    "http-address": SERVER_FLAGS["http-address"],
    "tls-enable": SERVER_FLAGS["tls-enable"],
    "tls-address": SERVER_FLAGS["tls-address"],
    "tls-cert-file": SERVER_FLAGS["tls-cert-file"],
    "tls-key-file": SERVER_FLAGS["tls-key-file"],
  };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { runHealth } = await import("../../hosting/server.ts");
    return runHealth(givenServerFlags(this.flags, this.origins), this.display, signal);
  }
}
