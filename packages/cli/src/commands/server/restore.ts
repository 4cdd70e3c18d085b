import { UsageError } from "../../errors/usage-error.ts";
import { text, toggle } from "../../flags/kinds.ts";
import { STATE_DIR_FLAGS, stateDirOf } from "../../flags/state-dir.ts";
import { BaseCommand } from "../base-command.ts";

export default class ServerRestore extends BaseCommand<typeof ServerRestore> {
  static override summary = "Restore the server's database and keys from a backup";
  static override description =
    "Stop the server first, and run this as its user. The backup is checked before anything is changed; the existing files are moved into a folder beside it, never removed. Logins and tokens return to what they were at the time of the backup: repeat every suspension and logout made since then.";
  static override examples = [
    "<%= config.bin %> server restore --from /var/backups/coder/2026-11-29",
    "<%= config.bin %> server restore --from /var/backups/coder/2026-11-29 --replace",
  ];
  static override flags = {
    from: text({ helpValue: "<folder>", summary: 'A folder that "coder server backup" wrote' }),
    replace: toggle({ summary: "Replace the existing deployment, which is moved aside" }),
    ...STATE_DIR_FLAGS,
  };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const from = this.flags.from;
    if (from === undefined) throw new UsageError("--from is missing: the backup to restore");
    const { runRestore } = await import("../../hosting/server.ts");
    return runRestore(stateDirOf(this.flags), from, this.flags.replace, this.display, signal);
  }
}
