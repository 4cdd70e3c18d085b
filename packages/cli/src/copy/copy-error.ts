import { UserError } from "../errors/user-error.ts";
import { printableName } from "./location.ts";

/** Describes a failure with a file of either side in words; an error that is already in words is returned as it is. */
export function copyError(path: string, error: unknown): unknown {
  if (error instanceof UserError || !(error instanceof Error)) return error;
  return new UserError(`Cannot copy "${printableName(path)}"`, {
    why: REASONS[codeOf(error)] ?? error.message,
    code: "ERR_COPY",
    cause: error,
  });
}

/** Whether the error, of either side, says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && ["ENOENT", "2"].includes(codeOf(error));
}

/** Why a file of either side cannot be looked at; undefined for a failure that ends the copy, such as a lost connection. */
export function refusalReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const code = codeOf(error);
  // The status of an SFTP server, or the name of a system error.
  return /^(?:\d+|E[A-Z0-9]+)$/.test(code) ? (REASONS[code] ?? error.message) : undefined;
}

function codeOf(error: Error): string {
  return String((error as { code?: unknown }).code ?? "");
}

/** Reasons by error code of this machine and of SFTP. */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "a directory of its path is missing",
  EACCES: "it may not be read or written by this user",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "it is larger than the file system allows",
  EROFS: "the file system is read-only",
  ENAMETOOLONG: "its name is too long for the file system",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of its path is no directory",
  "2": "a directory of its path is missing",
  "3": "it may not be read or written by the workspace's user",
};
