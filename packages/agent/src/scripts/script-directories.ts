import { lstatSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { Logger } from "wg-userspace/base/ports";

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Directories in which scripts leave programs for sessions, and data for each other. */
export interface ScriptDirectories {
  /** First in every PATH. */
  readonly bin: string;
  readonly data: string;
}

/**
 * Creates the directories of one agent below `base`, to which others may be able to write. A directory that others can write to
 * is not used, because its programs would take precedence over the system's.
 */
export function makeScriptDirectories(base: string, agentId: string, logger: Logger): ScriptDirectories | undefined {
  const data = join(base, `coder-script-data-${agentId}`);
  const bin = join(data, "bin");
  try {
    mkdirSync(bin, { recursive: true, mode: 0o700 });
  } catch (error) {
    return refuse(data, String(error), logger);
  }
  for (const directory of [data, bin]) {
    const found = lstatSync(directory);
    const foreign = process.getuid !== undefined && found.uid !== process.getuid();
    if (!found.isDirectory() || foreign || (found.mode & 0o022) !== 0)
      return refuse(directory, "it belongs to another user, or others may write to it", logger);
  }
  return { bin, data };
}

/** The variables that name these directories to scripts and sessions. */
export function scriptVariables(
  directories: ScriptDirectories | undefined,
  workspace: Readonly<Record<string, string>>,
  machine: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  if (directories === undefined) return { ...workspace };
  const path = workspace["PATH"] ?? (machine["PATH"] || DEFAULT_PATH);
  return {
    ...workspace,
    CODER_SCRIPT_BIN_DIR: directories.bin,
    CODER_SCRIPT_DATA_DIR: directories.data,
    PATH: `${directories.bin}${delimiter}${path}`,
  };
}

function refuse(directory: string, why: string, logger: Logger): undefined {
  logger.log("warn", "scripts get no directory for their programs", { directory, why });
  return undefined;
}
