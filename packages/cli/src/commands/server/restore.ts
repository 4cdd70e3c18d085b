import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { type FlagSpec, stringFlag, UsageError } from "../../flags/spec.ts";
import { STATE_DIR_FLAGS, stateDirOf } from "../../flags/state-dir.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "from",
    kind: "string",
    value: "folder",
    summary: 'A folder that "coder server backup" wrote',
  },
  {
    name: "replace",
    kind: "boolean",
    summary: "Replace the deployment that is there, which is moved aside",
  },
  ...STATE_DIR_FLAGS,
];

export default class ServerRestore extends BaseCommand {
  static override summary = "Put a backup in place as the server's database and keys";
  static override description =
    "Stop the server first, and run this as its user. The backup is checked before anything is changed; the existing files are moved into a folder beside it, never removed. Logins and tokens return to what they were at the time of the backup: repeat every suspension and logout made since then.";
  static override examples = [
    "<%= config.bin %> server restore --from /var/backups/coder/2026-11-29",
    "<%= config.bin %> server restore --from /var/backups/coder/2026-11-29 --replace",
  ];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const from = stringFlag(line.values, "from");
    if (from === undefined) throw new UsageError("--from is missing: the backup to restore");
    const { runRestore } = await import("../../services/server.ts");
    const replace = line.values["replace"] === true;
    return runRestore(stateDirOf(line.values), from, replace, signal);
  }
}
