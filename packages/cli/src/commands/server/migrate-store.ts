import { UsageError } from "../../errors/usage-error.ts";
import { text, toggle } from "../../flags/kinds.ts";
import { YES_FLAG } from "../../flags/output.ts";
import { BaseCommand } from "../base-command.ts";

export default class ServerMigrateStore extends BaseCommand<typeof ServerMigrateStore> {
  static override summary = "Move a deployment between SQLite and PostgreSQL";
  static override description =
    "Stop every server of the deployment first, and run this as the server's user. All rows are copied in one transaction and compared; the target has everything or nothing. The source stays as it is. A state directory whose store was moved gets a file MIGRATED_TO, and a server refuses to start on it. Copy keys.json yourself.";
  static override examples = [
    '<%= config.bin %> server migrate-store --from sqlite:/var/lib/coder-server --to "$CODER_PG_CONNECTION_URL" --dry-run',
    '<%= config.bin %> server migrate-store --from sqlite:/var/lib/coder-server --to "$CODER_PG_CONNECTION_URL"',
    '<%= config.bin %> server migrate-store --from "$CODER_PG_CONNECTION_URL" --to sqlite:/var/lib/coder-server',
  ];
  static override flags = {
    from: text({ helpValue: "<store>", summary: "The store now: sqlite:<state directory> or postgres://…" }),
    to: text({ helpValue: "<store>", summary: "Where to move it: the same forms" }),
    "dry-run": toggle({ summary: "Copy and compare, then undo everything" }),
    ...YES_FLAG,
  };

  protected override async execute(signal: AbortSignal): Promise<number> {
    const { from, to, yes, "dry-run": dryRun } = this.flags;
    if (from === undefined) throw new UsageError("--from is missing: the store now");
    if (to === undefined) throw new UsageError("--to is missing: where to move the store");
    const { runMigrateStore } = await import("../../hosting/server.ts");
    const confirmed = yes || dryRun ? async () => true : (question: string) => this.confirm(question, signal);
    return runMigrateStore({ from, to, dryRun }, confirmed, this.display, signal);
  }
}
