import { lstatSync } from "node:fs";
import { join } from "node:path";
import { makeDirectories } from "./make-directories.ts";

/**
 * A folder for cached code, made when it is missing. It belongs to this user and lies in a home of the same user, so under `sudo`
 * with another user's HOME there is none. Undefined where no folder may be used.
 */
export function cacheFolder(name: string, environment: NodeJS.ProcessEnv, uid: number | undefined): string | undefined {
  const home = environment["HOME"];
  const base = environment["XDG_CACHE_HOME"] || (home && join(home, ".cache")) || environment["LOCALAPPDATA"];
  return base ? ownFolder(base, name, uid) : undefined;
}

/** `base/coder/name`, created if need be; undefined unless it belongs to this user and no other user may write to it. */
export function ownFolder(base: string, name: string, uid: number | undefined): string | undefined {
  const folder = join(base, "coder", name);
  try {
    makeDirectories(folder);
    return [base, folder].every((path) => isOwn(path, uid)) ? folder : undefined;
  } catch {
    return undefined; // a read-only home, or a file in the way: not worth a message for a cache
  }
}

/** Whether the path is a folder of this user that no other user may write to. */
function isOwn(path: string, uid: number | undefined): boolean {
  const found = lstatSync(path);
  // Without user ids (Windows) the profile folder's own permissions protect it.
  return found.isDirectory() && (uid === undefined || (found.uid === uid && (found.mode & 0o022) === 0));
}
