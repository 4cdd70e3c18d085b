/** Where a file of an upload or download is. */
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, normalize, relative, resolve } from "node:path";
import { FileFailure } from "./failure.ts";

const MAX_PATH_LENGTH = 4_096;

/**
 * The absolute path that a client asked for. An absolute path is taken as it is. A relative one is below the directory or,
 * with `~/`, below home, and no symbolic link leads it out of both. Throws {@link FileFailure}, or the system's error.
 */
export async function locate(path: string, { home, directory }: { home: string; directory: string }): Promise<string> {
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
  const inside = await Promise.all([home, base].map((place) => contains(place, parent)));
  if (!inside.includes(true))
    throw new FileFailure(400, "A symbolic link leads out of the directory; give an absolute path to follow it.");
  return join(parent, basename(target));
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
