import { BaseCommand } from "../../base-command.ts";
import type { ParsedLine } from "../../flags/parse.ts";
import { type FlagSpec, stringFlag, UsageError } from "../../flags/spec.ts";
import { STATE_DIR_FLAGS, stateDirOf } from "../../flags/state-dir.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "to",
    kind: "string",
    value: "folder",
    summary: "Where to write it: a folder that does not exist yet",
  },
  ...STATE_DIR_FLAGS,
];

export default class ServerBackup extends BaseCommand {
  static override summary = "Copy the server's database and keys into a folder, with the server running or not";
  static override description =
    "Run this on the server's machine, as its user. The copy is the state of one moment, is checked, and appears whole or not at all. It holds the keys of the deployment: keep it as safe as the server itself. TLS certificates and the server's options are not in it.";
  static override examples = [
    "<%= config.bin %> server backup --to /var/backups/coder/$(date +%F)",
    "<%= config.bin %> server restore --from /var/backups/coder/2026-11-29",
  ];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<number> {
    const to = stringFlag(line.values, "to");
    if (to === undefined) throw new UsageError("--to is missing: the folder to write");
    const { runBackup } = await import("../../services/server.ts");
    return runBackup(stateDirOf(line.values), to, signal);
  }
}
