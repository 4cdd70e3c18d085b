/** How to start this program again: the only place that knows whether it is a Node script or a single executable. */
import { realpathSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { isSea } from "node:sea";

export interface RunningProgram {
  readonly execPath: string;
  readonly execArgv: readonly string[];
  readonly argv: readonly string[];
  /** A single executable: `argv[1]` is no script, although something is there. */
  readonly single: boolean;
}

/** The program, and the words before its own arguments. */
export function selfCommand(program: RunningProgram = thisProgram()): readonly [string, ...string[]] {
  if (program.single) return [program.execPath];
  return [program.execPath, ...program.execArgv, resolve(program.argv[1]!)];
}

/** The arguments of this process. */
export function ownArguments(program: RunningProgram = thisProgram()): readonly string[] {
  return program.argv.slice(2);
}

/**
 * Like {@link selfCommand}, for a file that outlives upgrades. When a package manager installs Node in a folder named after its
 * version, the link in the search path is used instead.
 */
export function lastingSelfCommand(
  searchPath: string | undefined,
  program: RunningProgram = thisProgram(),
): readonly [string, ...string[]] {
  const [file, ...rest] = selfCommand(program);
  return [unversioned(file, searchPath ?? ""), ...rest];
}

/** Whether a path has a part that an upgrade changes, such as `v26.10.0` or `26.10.0_1`. */
export function isVersioned(path: string): boolean {
  return /[/\\][^/\\]*\d+\.\d+[^/\\]*[/\\]/.test(path);
}

function unversioned(file: string, searchPath: string): string {
  if (!isVersioned(file)) return file;
  const name = file.split(/[/\\]/).at(-1)!;
  const links = searchPath.split(delimiter).filter((folder) => folder.startsWith("/") || /^[A-Za-z]:/.test(folder));
  return links.map((folder) => join(folder, name)).find((link) => !isVersioned(link) && isSameFile(link, file)) ?? file;
}

function isSameFile(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b);
  } catch {
    return false; // missing, or not accessible to us
  }
}

function thisProgram(): RunningProgram {
  return { execPath: process.execPath, execArgv: process.execArgv, argv: process.argv, single: isSea() };
}
