import { givenServerFlags, SERVER_FLAGS } from "../../flags/server.ts";
import { givenSettings, INSTALL_FLAGS } from "../../flags/service.ts";
import { BaseCommand } from "../base-command.ts";

export default class ServerInstall extends BaseCommand<typeof ServerInstall> {
  static override summary = "Install the server as a systemd service and start it";
  static override description =
    "Writes a unit and a settings file. Run as root, it installs a system service with the account coder-server and its state in /var/lib/coder-server; otherwise, a service of your own. The server's options and variables are stored in the settings; another run changes those that are given and keeps the rest. To load new certificates: systemctl reload coder-server.";
  static override examples = [
    "sudo <%= config.bin %> server install --access-url https://coder.example.com --http-address 127.0.0.1:3000",
    "sudo <%= config.bin %> server install --tls-enable --tls-address :443 --tls-cert-file cert.pem --tls-key-file key.pem",
    "<%= config.bin %> server install --print",
  ];
  static override flags = { ...INSTALL_FLAGS, ...SERVER_FLAGS };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { flags, origins } = this;
    const { checkServerFlags } = await import("../../hosting/server.ts");
    const wrong = await checkServerFlags(givenServerFlags(flags, origins), this.display, signal);
    if (wrong !== 0) return wrong;
    const { installServer } = await import("../../hosting/service-commands.ts");
    const settings = givenSettings(SERVER_FLAGS, flags, origins);
    await installServer({ user: flags.user, now: flags.now, print: flags.print, settings }, this.display);
    return 0;
  }
}
