import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { SERVER_FLAGS } from "../../flags/server.ts";
import { INSTALL_FLAGS } from "../../flags/service.ts";
import { runInstall } from "../../services/service-commands.ts";
import { givenVariables, listensLow } from "../../systemd/settings.ts";

export default class ServerInstall extends BaseCommand {
  static override summary = "Install the server as a service of systemd, and start it";
  static override description =
    "Writes a unit and a file of settings. As root it is a service of the system with an account of its own, coder-server, and its state in /var/lib/coder-server; without root it is one of your own. What the options and variables of the server say is kept in the settings; called again, it changes what is given and leaves the rest. To have new certificates read: systemctl reload coder-server.";
  static override examples = [
    "sudo <%= config.bin %> server install --access-url https://coder.example.com --http-address 127.0.0.1:3000",
    "sudo <%= config.bin %> server install --tls-enable --tls-address :443 --tls-cert-file cert.pem --tls-key-file key.pem",
    "<%= config.bin %> server install --print",
  ];
  static override specs = [...INSTALL_FLAGS, ...SERVER_FLAGS];

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number | undefined> {
    const { checkServerFlags } = await import("../../services/server.ts");
    const wrong = await checkServerFlags(line, signal);
    if (wrong !== 0) return wrong;
    await runInstall({
      service: "server",
      flags: line.values,
      variables: givenVariables(SERVER_FLAGS, line),
      unit: (settings) => ({ lowPort: listensLow(settings) }),
    });
    return 0;
  }
}
