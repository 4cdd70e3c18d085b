import { UsageError } from "../../errors/usage-error.ts";
import { text } from "../../flags/kinds.ts";
import { STATE_DIR_FLAGS, stateDirOf } from "../../flags/state-dir.ts";
import { BaseCommand } from "../base-command.ts";

export default class ServerBackup extends BaseCommand<typeof ServerBackup> {
  static override summary = "Copy the server's database and keys into a folder, whether or not it is running";
  static override description =
    "Run this on the server's machine, as its user. The copy is the state of one moment, is checked, and appears whole or not at all. It contains the deployment's keys: protect it like the server itself. TLS certificates and the server's options are not in it.";
  static override examples = [
    "<%= config.bin %> server backup --to /var/backups/coder/$(date +%F)",
    "<%= config.bin %> server restore --from /var/backups/coder/2026-11-29",
  ];
  static override flags = {
    to: text({ helpValue: "<folder>", summary: "Where to write it: a folder that does not exist yet" }),
    ...STATE_DIR_FLAGS,
  };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const to = this.flags.to;
    if (to === undefined) throw new UsageError("--to is missing: the folder to write");
    const { runBackup } = await import("../../hosting/server.ts");
    return runBackup(stateDirOf(this.flags), to, this.display, signal);
  }
}
