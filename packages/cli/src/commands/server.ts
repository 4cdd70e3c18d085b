import { givenServerFlags, SERVER_FLAGS } from "../flags/server.ts";
import { BaseCommand } from "./base-command.ts";

export default class Server extends BaseCommand<typeof Server> {
  static override summary = "Run the control plane: users, workspaces, coordinator and relay";
  static override examples = [
    "<%= config.bin %> server",
    "<%= config.bin %> server --access-url https://coder.example.com --http-address 127.0.0.1:3000",
    "<%= config.bin %> server --tls-enable --tls-address 0.0.0.0:443 --tls-cert-file cert.pem --tls-key-file key.pem",
  ];
  static override flags = SERVER_FLAGS;
  static override isService = true;
  static override reloads = true;

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { runServerCommand } = await import("../hosting/server.ts");
    return runServerCommand(givenServerFlags(this.flags, this.origins), this.flags.verbose, this.display, signal);
  }
}
