/** The server's files and folders belong to its account, except in container volumes whose mode the server cannot change. */
import { chmodSync, type Stats, statSync } from "node:fs";
import { nodeErrorCode } from "./errors.ts";

/** Errors of a file system that does not allow its modes to be changed: it is mounted read-only, or has no modes. */
const KEPT = ["EPERM", "EROFS", "ENOTSUP", "ENOSYS"];

/**
 * Sets the mode of a path that this process owns. A path that belongs to another account, or lies on a file system that does not
 * allow its modes to be changed, is left as it is. Other errors are thrown.
 * @returns the resulting state.
 */
export function narrowOwn(path: string, mode: 0o600 | 0o700): Stats {
  const found = statSync(path);
  // Without user ids (Windows), the permissions of the parent folder apply.
  const own = process.geteuid === undefined || found.uid === process.geteuid();
  if (!own || (found.mode & 0o777) === mode) return found;
  try {
    chmodSync(path, mode);
  } catch (error) {
    if (KEPT.includes(nodeErrorCode(error) ?? "")) return found;
    throw error;
  }
  return statSync(path);
}
