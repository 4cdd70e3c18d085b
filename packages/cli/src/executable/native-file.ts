/**
 * A native module can only be loaded from a file. It is unpacked once, into a folder that no other user can write to, under a
 * name that contains the hash of its content. A file that already exists is loaded only if every byte is right.
 */
import { randomBytes } from "node:crypto";
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { cacheFolder, ownFolder } from "../base/cache-folder.ts";

const KEPT_DAYS = 30;

export interface NativeModule {
  /** Contains the hash of the content. */
  readonly file: string;
  readonly content: Uint8Array;
}

export interface Surroundings {
  readonly environment: NodeJS.ProcessEnv;
  readonly uid: number | undefined;
  readonly temporary: string;
  /** Throws when the file cannot be loaded, for example from a file system mounted noexec. */
  readonly open: (path: string) => unknown;
}

export interface LoadedModule {
  readonly exports: unknown;
  /** For messages: the file, and why it is not in the usual place. */
  readonly origin: string;
}

/** Loads the module from the first place that works. Throws an Error that names each place and what is wrong with it. */
export function loadNative(module: NativeModule, around: Surroundings): LoadedModule {
  const refused: string[] = [];
  for (const { place, folder } of keptPlaces(around)) {
    if (folder === undefined) {
      refused.push(`${place}: no folder of your own can be made there`);
      continue;
    }
    try {
      const path = unpacked(module, folder, around.uid);
      return { exports: around.open(path), origin: originOf(path, refused) };
    } catch (error) {
      refused.push(`${folder}: ${firstLine(error)}`);
    }
  }
  try {
    return loadUncached(module, around, refused);
  } catch (error) {
    refused.push(`${around.temporary}: ${firstLine(error)}`);
  }
  throw new Error(
    `${module.file} cannot be loaded from any folder (${refused.join("; ")}): set XDG_CACHE_HOME to a folder of your own from which programs may run`,
  );
}

function keptPlaces({ environment, uid }: Surroundings) {
  const running = environment["XDG_RUNTIME_DIR"];
  const places = [{ place: "the cache folder", folder: cacheFolder("native", environment, uid) }];
  if (running) places.push({ place: running, folder: ownFolder(running, "native", uid) });
  return places;
}

/** Loads from a private folder of this process, which is removed as soon as the module is loaded. */
function loadUncached(module: NativeModule, around: Surroundings, refused: readonly string[]): LoadedModule {
  if (!isSafeParent(around.temporary, around.uid)) throw new Error("others may rename what is in there");
  const folder = mkdtempSync(join(around.temporary, "coder-native-"));
  try {
    const path = unpacked(module, folder, around.uid);
    return { exports: around.open(path), origin: `${originOf(dirname(path), refused)}; not kept` };
  } finally {
    // Windows cannot remove a loaded file; its profile folder is writable, so this place is not reached there.
    rmSync(folder, { recursive: true, force: true, maxRetries: 1 });
  }
}

function isSafeParent(folder: string, uid: number | undefined): boolean {
  if (uid === undefined) return true;
  const found = statSync(folder);
  const sticky = (found.mode & 0o1000) !== 0;
  return (found.uid === uid || found.uid === 0) && (sticky || (found.mode & 0o022) === 0);
}

/** @returns The path of the intact file. */
function unpacked({ file, content }: NativeModule, folder: string, uid: number | undefined): string {
  const path = join(folder, file);
  if (isIntact(path, content, uid)) return path;
  const draft = join(folder, `.${file}.${randomBytes(8).toString("hex")}`);
  try {
    writeFileSync(draft, content, { flag: "wx", mode: 0o700 });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  removeOld(folder, file);
  return path;
}

function isIntact(path: string, content: Uint8Array, uid: number | undefined): boolean {
  try {
    const found = lstatSync(path);
    const own = uid === undefined || (found.uid === uid && (found.mode & 0o022) === 0);
    return found.isFile() && own && found.size === content.length && readFileSync(path).equals(content);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Removes files of other versions. A version still in use unpacks its file again. */
function removeOld(folder: string, file: string): void {
  const before = Date.now() - KEPT_DAYS * 86_400_000;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (name !== file && lstatSync(path).mtimeMs < before) rmSync(path, { force: true });
  }
}

function originOf(path: string, refused: readonly string[]): string {
  return refused.length === 0 ? path : `${path} (not from ${refused.join("; ")})`;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}
