import { statSync } from "node:fs";
import { basename } from "node:path";
import type { SessionUser } from "./user.ts";

export interface ResolvedCommand {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * What to run: without a command, the login shell; a script whose first line names an interpreter, by that interpreter; anything
 * else, by `<shell> -c`.
 */
export function resolveCommand(user: SessionUser, command: string | undefined): ResolvedCommand {
  if (command === undefined || command === "") return { file: user.shell, args: ["-l"] };
  const interpreter = /^\s*#!([^\r\n]*)/.exec(command)?.[1]?.trim().split(/\s+/);
  const [file, ...args] = interpreter ?? [];
  if (file === undefined || file === "") return { file: user.shell, args: ["-c", command] };
  const language = basename([file, ...args].findLast((word) => !word.startsWith("-")) ?? file);
  return { file, args: [...args, TAKES_DASH_E.test(language) ? "-e" : "-c", command.trimStart()] };
}

const TAKES_DASH_E = /^(?:node|nodejs|perl|ruby)[\d.]*$/;

/** Programs refused when the deployment blocks file transfer. Matched by name only: a reminder, not a barrier. */
const TRANSFER_PROGRAMS = new Set(["nc", "rsync", "scp", "sftp"]);
export const TRANSFER_BLOCKED_STATUS = 65;
export const TRANSFER_BLOCKED_MESSAGE = "\x02File transfer has been disabled.\n";

export function isFileTransfer(command: string): boolean {
  const first = command.trimStart().split(/\s+/, 1)[0] ?? "";
  return TRANSFER_PROGRAMS.has(basename(first));
}

/** The first candidate that is a directory. */
export function existingDirectory(candidates: readonly (string | undefined)[]): string {
  return candidates.find((path) => path !== undefined && isDirectory(path)) ?? "/";
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
