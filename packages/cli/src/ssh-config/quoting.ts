/**
 * Words of a command that OpenSSH runs for us. It expands `%` first, then gives the line to the person's shell, or to
 * Windows' command interpreter.
 */
import { UserError } from "../errors/user-error.ts";

export type ShellKind = "posix" | "windows";

export function shellKindOf(platform: NodeJS.Platform): ShellKind {
  return platform === "win32" ? "windows" : "posix";
}

/** Needs no quoting in any shell. */
const PLAIN_POSIX = /^[A-Za-z0-9_@+=:,./-]+$/;
const PLAIN_WINDOWS = /^[A-Za-z0-9_@+=:,./\\-]+$/;

/** One word of a ProxyCommand. Throws UserError for what cannot be written into one line. */
export function proxyWord(word: string, shell: ShellKind): string {
  refuseLineBreaks(word);
  return quoted(word, shell).replaceAll("%", "%%");
}

/**
 * A whole command as the argument of `Match … exec`. Undefined where it cannot be written: within the quotes that it needs
 * OpenSSH up to 9.8 knows no escapes, and later releases take backslashes away.
 */
export function matchExecArgument(words: readonly string[]): string | undefined {
  const command = words.join(" ");
  return /["\\]/.test(command) ? undefined : `"${command}"`;
}

function quoted(word: string, shell: ShellKind): string {
  if (shell === "windows") {
    if (PLAIN_WINDOWS.test(word)) return word;
    // A path may hold no quote there; in other words it is doubled as the C runtime reads it.
    return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, "$1$1")}"`;
  }
  if (PLAIN_POSIX.test(word)) return word;
  // Single quotes hold in every Unix shell, csh and fish included. OpenSSH looks whether quotes are balanced, and within
  // them it takes a backslash for an escape: both stand outside, behind one.
  return `'${word.replace(/['\\]/g, (found) => `'\\${found}'`)}'`;
}

function refuseLineBreaks(word: string): void {
  if (!/[\r\n\0]/.test(word)) return;
  throw new UserError(`${JSON.stringify(word)} cannot be written into an SSH configuration`, {
    why: "it holds a line break",
    code: "ERR_USAGE",
    exit: 2,
  });
}

/** Windows paths as both cmd and Git's shell read them. */
export function slashed(path: string, shell: ShellKind): string {
  return shell === "windows" ? path.replaceAll("\\", "/") : path;
}
