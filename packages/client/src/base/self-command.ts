/** How this program is started again: the one place that knows whether it is a script of Node or an executable of its own. */
import { realpathSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { isSea } from "node:sea";

export interface RunningProgram {
  readonly execPath: string;
  readonly execArgv: readonly string[];
  readonly argv: readonly string[];
  /** One file that holds everything: there is no script in `argv[1]`, although something stands there. */
  readonly single: boolean;
}

/** The program and what stands before its own arguments. */
export function selfCommand(program: RunningProgram = thisProgram()): readonly [string, ...string[]] {
  if (program.single) return [program.execPath];
  return [program.execPath, ...program.execArgv, resolve(program.argv[1]!)];
}

/** The arguments that this process was given. */
export function ownArguments(program: RunningProgram = thisProgram()): readonly string[] {
  return program.argv.slice(2);
}

/**
 * As {@link selfCommand}, to be written into a file that outlives upgrades: where a package manager keeps Node in a folder
 * that is named after its version, the link in the search path is used.
 */
export function lastingSelfCommand(
  searchPath: string | undefined,
  program: RunningProgram = thisProgram(),
): readonly [string, ...string[]] {
  const [file, ...rest] = selfCommand(program);
  return [unversioned(file, searchPath ?? ""), ...rest];
}

/** A part of a path that an upgrade changes, such as `v26.10.0` or `26.10.0_1`. */
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
    return false; // not there, or not ours to look at
  }
}

function thisProgram(): RunningProgram {
  return { execPath: process.execPath, execArgv: process.execArgv, argv: process.argv, single: isSea() };
}
