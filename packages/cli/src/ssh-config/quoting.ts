/**
 * Quotes words of a command that OpenSSH runs for us. OpenSSH first expands `%`, then gives the line to the user's shell, or to
 * the command interpreter of Windows.
 */
import { UserError } from "../errors/user-error.ts";

export type ShellKind = "posix" | "windows";

export function shellKindOf(platform: NodeJS.Platform): ShellKind {
  return platform === "win32" ? "windows" : "posix";
}

/** Needs no quotes in any shell. */
const PLAIN_POSIX = /^[A-Za-z0-9_@+=:,./-]+$/;
const PLAIN_WINDOWS = /^[A-Za-z0-9_@+=:,./\\-]+$/;

/** One word of a ProxyCommand. Throws a UserError for text that cannot be written in one line. */
export function proxyWord(word: string, shell: ShellKind): string {
  refuseLineBreaks(word);
  return quoted(word, shell).replaceAll("%", "%%");
}

/**
 * A whole command as the argument of `Match … exec`. Undefined where it cannot be written: inside the necessary quotes, OpenSSH
 * up to 9.8 knows no escapes, and later releases remove backslashes.
 */
export function matchExecArgument(words: readonly string[]): string | undefined {
  const command = words.join(" ");
  return /["\\]/.test(command) ? undefined : `"${command}"`;
}

function quoted(word: string, shell: ShellKind): string {
  if (shell === "windows") {
    if (PLAIN_WINDOWS.test(word)) return word;
    // A path on Windows contains no quotes; in other words a quote is escaped, and backslashes doubled, as the C runtime expects.
    return `"${word.replace(/(\\*)"/g, '$1$1\\"').replace(/(\\+)$/, "$1$1")}"`;
  }
  if (PLAIN_POSIX.test(word)) return word;
  // Single quotes work in every Unix shell, csh and fish included. OpenSSH checks that quotes are balanced and treats a backslash
  // inside them as an escape, so both are placed outside the quotes and escaped with a backslash.
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

/** Turns Windows paths into a form that both cmd and Git's shell read. */
export function slashed(path: string, shell: ShellKind): string {
  return shell === "windows" ? path.replaceAll("\\", "/") : path;
}
