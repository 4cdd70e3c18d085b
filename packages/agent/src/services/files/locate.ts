/** Locates the file of an upload or download. */
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, normalize, relative, resolve } from "node:path";
import { FileFailure } from "./failure.ts";

const MAX_PATH_LENGTH = 4_096;

interface Places {
  readonly home: string;
  readonly directory: string;
}

/**
 * The absolute path of a file that a client wants to create or replace. An absolute path is used unchanged. A relative one is
 * below the directory or, with `~/`, below home, and no symbolic link on the way may lead out of both. A link with the file's own
 * name is replaced, not followed. Throws {@link FileFailure}, or the system's error.
 */
export async function locate(path: string, places: Places): Promise<string> {
  const { home, directory } = places;
  if (path === "" || path.endsWith("/")) throw new FileFailure(400, "The path names no file.");
  if (path.includes("\0")) throw new FileFailure(400, "The path has a NUL byte.");
  if (path.length > MAX_PATH_LENGTH)
    throw new FileFailure(400, `The path is longer than ${MAX_PATH_LENGTH} characters.`);
  if (isAbsolute(path)) return named(resolve(path));
  const [base, below] = path.startsWith("~/") ? [home, path.slice(2)] : [directory, path];
  const clean = normalize(below);
  if (clean === ".") throw new FileFailure(400, "The path names no file.");
  if (isAbsolute(clean) || leadsOut(clean)) throw new FileFailure(400, 'A relative path must not lead out by "..".');
  const target = named(resolve(base, clean));
  const parent = await realpath(dirname(target));
  await refuseOutside(parent, places);
  return join(parent, basename(target));
}

/**
 * Like {@link locate}, for a file that a client wants to read: a link with the file's own name is followed too, by the same rule.
 */
export async function locateExisting(path: string, places: Places): Promise<string> {
  const target = await locate(path, places);
  if (isAbsolute(path)) return target;
  const file = await realpath(target);
  await refuseOutside(dirname(file), places);
  return file;
}

async function refuseOutside(path: string, { home, directory }: Places): Promise<void> {
  // Not at once: a turn is one thread.
  if (!(await contains(home, path)) && !(await contains(directory, path)))
    throw new FileFailure(400, "A symbolic link leads out of the directory; give an absolute path to follow it.");
}

function named(path: string): string {
  if (basename(path) === "" || basename(path) === "." || basename(path) === "..")
    throw new FileFailure(400, "The path names no file.");
  return path;
}

async function contains(place: string, path: string): Promise<boolean> {
  const from = await realpath(place).catch(() => undefined); // a home that does not exist contains nothing
  return from !== undefined && !leadsOut(relative(from, path));
}

function leadsOut(path: string): boolean {
  return path === ".." || path.startsWith("../");
}
