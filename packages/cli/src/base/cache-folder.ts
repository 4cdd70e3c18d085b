import { lstatSync } from "node:fs";
import { join } from "node:path";
import { makeDirectories } from "./make-directories.ts";

/**
 * A folder for what is loaded as code: this person's own, in a home of their own, so that under `sudo` with somebody else's
 * HOME there is none. Undefined where none may be used. Made when it is missing.
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
    return undefined; // a read-only home, a file in the way: a cache is worth no word
  }
}

/** Whether it is a folder of this user that no other user may write to. */
function isOwn(path: string, uid: number | undefined): boolean {
  const found = lstatSync(path);
  // Without user ids (Windows) the profile folder's own permissions protect it.
  return found.isDirectory() && (uid === undefined || (found.uid === uid && (found.mode & 0o022) === 0));
}
