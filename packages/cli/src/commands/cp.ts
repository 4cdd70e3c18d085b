import { deploymentOptions } from "../flags/global.ts";
import { toggle, word } from "../flags/kinds.ts";
import { PATH_FLAGS, pathOptions } from "../flags/path.ts";
import { BaseCommand } from "./base-command.ts";

export default class Copy extends BaseCommand<typeof Copy> {
  static override summary = "Copy files to or from a workspace";
  static override description =
    "A file appears under its name only when it is complete. Run an interrupted copy again to continue it: what was already copied is compared by SHA-256. New files and directories get the permissions of their source, less the umask; existing ones keep theirs. A link to a file is replaced, a device is not. If anything was skipped, the exit status is 1.";
  static override examples = [
    "<%= config.bin %> cp notes.txt dev:",
    "<%= config.bin %> cp -r dev:project/results .",
    "<%= config.bin %> cp a.txt b.txt alice--dev:docs/",
    "<%= config.bin %> cp --fsync database.dump dev:backups/",
  ];
  static override flags = {
    recursive: toggle({ char: "r", summary: "Copy directories with everything in them" }),
    fsync: toggle({ summary: "Write every file to disk before it is renamed into place" }),
    ...PATH_FLAGS,
  };
  static override args = {
    source: word({ required: true, description: "path, or workspace:path; several are allowed" }),
    destination: word({ required: true, description: "path, or workspace:path" }),
  };
  static override strict = false;

  protected override async execute(signal: AbortSignal): Promise<undefined> {
    const { flags } = this;
    const { runCopy } = await import("../entries/network.ts");
    const options = {
      deployment: deploymentOptions(flags),
      connect: pathOptions("", flags),
      verbose: flags.verbose,
      recursive: flags.recursive,
      sync: flags.fsync,
      paths: this.words,
    };
    await runCopy(options, this.display, signal);
  }
}
