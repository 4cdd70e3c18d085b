import { SCOPE_FLAGS } from "../../flags/service.ts";
import { BaseCommand } from "../base-command.ts";

export default class ServerUninstall extends BaseCommand<typeof ServerUninstall> {
  static override summary = "Stop the server's service and remove it; its settings and its state stay";
  static override examples = ["sudo <%= config.bin %> server uninstall"];
  static override flags = SCOPE_FLAGS;

  protected override async execute(): Promise<undefined> {
    const { runUninstall } = await import("../../hosting/service-commands.ts");
    await runUninstall({ service: "server", user: this.flags.user, forgets: false }, this.display);
  }
}
