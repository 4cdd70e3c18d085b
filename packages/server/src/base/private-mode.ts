/** The server's files and folders belong to its account, but for those of a container's volumes, whose mode it cannot change. */
import { chmodSync, type Stats, statSync } from "node:fs";
import { nodeErrorCode } from "./errors.ts";

/** What a file system answers that keeps its modes: it is mounted read-only, or has none. */
const KEPT = ["EPERM", "EROFS", "ENOTSUP", "ENOSYS"];

/**
 * Gives what this process owns the mode. What belongs to another account stays as it is, and so does what lies on a file system
 * that keeps its modes. Other errors are thrown.
 * @returns how it is now.
 */
export function narrowOwn(path: string, mode: 0o600 | 0o700): Stats {
  const found = statSync(path);
  // Without user ids (Windows) the permissions of the folder above count.
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
