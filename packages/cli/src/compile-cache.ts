import { lstatSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { makeDirectories } from "./make-directories.ts";

/**
 * Keeps compiled code between starts. It is loaded as code, so it lives only in a folder of this person's own in a home of
 * their own: under `sudo` with somebody else's HOME there is none. Without the cache a start is slower and nothing else,
 * so no failure here is worth a word.
 */
export function keepCompiledCode(environment: NodeJS.ProcessEnv): void {
  const folder = compileCacheFolder(environment, process.getuid?.());
  if (folder !== undefined) enableCompileCache?.(folder);
}

/** Undefined where none may be used. Made when it is missing. */
export function compileCacheFolder(environment: NodeJS.ProcessEnv, uid: number | undefined): string | undefined {
  const given = environment["XDG_CACHE_HOME"];
  const home = environment["HOME"];
  const base = given !== undefined && given !== "" ? given : home && join(home, ".cache");
  if (base === undefined || base === "") return undefined;
  const folder = join(base, "coder", "compiled");
  try {
    makeDirectories(folder);
    return [base, folder].every((path) => isOwn(path, uid)) ? folder : undefined;
  } catch {
    return undefined; // a read-only home, a file in the way: see above
  }
}

/** Ours, and nobody else may write to it. */
function isOwn(path: string, uid: number | undefined): boolean {
  const found = lstatSync(path);
  // Without user ids (Windows) the profile folder's own permissions protect it.
  return found.isDirectory() && (uid === undefined || (found.uid === uid && (found.mode & 0o022) === 0));
}
