import { accessSync, constants, statSync } from "node:fs";
import { basename } from "node:path";
import type { Argument } from "../os/spawn.ts";
import type { SessionUser } from "./user.ts";

export interface ResolvedCommand {
  readonly file: string;
  /** The program's argument 0, where that is not its file. */
  readonly name?: string | undefined;
  readonly args: readonly Argument[];
}

/**
 * What to run: without a command (an empty one is one), the shell, which a name with a hyphen makes a login shell; a script whose first line names an
 * interpreter, by that interpreter; anything else, by `<shell> -c`.
 */
export function resolveCommand(user: SessionUser, command: Argument | undefined): ResolvedCommand {
  if (command === undefined) return { file: user.shell, name: `-${basename(user.shell)}`, args: [] };
  const interpreter = /^\s*#!([^\r\n]*)/
    .exec(characters(command))?.[1]
    ?.split(/[ \t]+/)
    .filter(Boolean);
  const [word, ...args] = interpreter ?? [];
  // A file is named by text; what is not text is not found.
  const file = word === undefined || typeof command === "string" ? word : Buffer.from(word, "latin1").toString();
  if (file === undefined || file === "") {
    return { file: user.shell, name: basename(user.shell), args: ["-c", command] };
  }
  const language = basename([file, ...args].findLast((word) => !word.startsWith("-")) ?? file);
  const given = (text: string): Argument => (typeof command === "string" ? text : Buffer.from(text, "latin1"));
  const option = TAKES_DASH_E.test(language) ? "-e" : "-c";
  return { file, args: [...args.map(given), option, given(characters(command).trimStart())] };
}

/** A command that is not text as one character for each byte. */
function characters(command: Argument): string {
  return typeof command === "string" ? command : Buffer.from(command).toString("latin1");
}

const TAKES_DASH_E = /^(?:node|nodejs|perl|ruby)[\d.]*$/;

/** Programs refused when the deployment blocks file transfer. Matched by name only: a reminder, not a barrier. */
const TRANSFER_PROGRAMS = new Set(["nc", "rsync", "scp", "sftp"]);
export const TRANSFER_BLOCKED_STATUS = 65;
export const TRANSFER_BLOCKED_MESSAGE = "\x02File transfer has been disabled.\n";

export function isFileTransfer(command: Argument): boolean {
  const first = characters(command).trimStart().split(/\s+/, 1)[0] ?? "";
  return TRANSFER_PROGRAMS.has(basename(first));
}

export interface StartDirectory {
  readonly path: string;
  /** Why it is not the home directory, in sshd's words. */
  readonly problem: string | undefined;
}

/**
 * Where programs start: the preferred directory, or the home directory, or the root: the first that can be entered.
 * @param silent Paths that are not touched, because their file systems do not answer.
 */
export function startDirectory(
  preferred: string | undefined,
  home: string,
  silent: ReadonlySet<string> = new Set(),
): StartDirectory {
  const enter = (path: string): string | undefined => (silent.has(path) ? "ETIMEDOUT" : entering(path));
  if (preferred !== undefined && enter(preferred) === undefined) return { path: preferred, problem: undefined };
  const reason = enter(home);
  if (reason === undefined) return { path: home, problem: undefined };
  return { path: "/", problem: `Could not chdir to home directory ${home}: ${REASONS[reason] ?? reason}` };
}

/** The code of the error that prevents it. */
function entering(path: string): string | undefined {
  try {
    if (!statSync(path).isDirectory()) return "ENOTDIR";
    accessSync(path, constants.X_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "EIO";
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "Permission denied",
  ENOENT: "No such file or directory",
  ENOTDIR: "Not a directory",
  ETIMEDOUT: "its file system does not answer",
};
