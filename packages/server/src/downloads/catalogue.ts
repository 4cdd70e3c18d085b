import { constants, type Stats } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { nodeErrorCode } from "../base/errors.ts";
import { type FileHashes, hashFile } from "./hash-worker.ts";
import { allPlatforms, type DownloadName, type Platform, programFile, SUMS_NAME } from "./names.ts";

/** For signatures and lists of checksums. */
const MAX_TEXT_BYTES = 64 * 1024;
const MAX_REMEMBERED = 32;

/** Where executables for other machines come from. */
export interface ProgramSources {
  /**
   * Folders that may contain files under their names below /bin/. The first that has a file is used. They are read on each
   * request.
   */
  readonly directories: readonly string[];
  /** The running executable, if it is a single file with everything in it. */
  readonly own?: { readonly path: string; readonly platform: Platform } | undefined;
}

/** @param packaged The executables that came with the server. */
export function programSources(
  binariesDir: string | undefined,
  packaged: ProgramSources = { directories: [] },
): ProgramSources {
  return binariesDir === undefined ? packaged : { ...packaged, directories: [binariesDir] };
}

/** An open file in the state it had when it was opened. The caller closes it. */
export interface OpenFile {
  readonly handle: FileHandle;
  readonly size: number;
  readonly modifiedMs: number;
  /** Where it was found, with links resolved. */
  readonly path: string;
}

export interface OpenProgram extends OpenFile {
  readonly hashes: FileHashes;
}

/** The file was modified while it was being read, so the bytes are neither those of the old nor those of the new version. */
export class FileChanged extends Error {
  override readonly name = "FileChanged";
}

/** The executables that this server can hand out, and their hashes, which are computed once per file. */
export class Catalogue {
  readonly #sources: ProgramSources;
  readonly #hashFile: typeof hashFile;
  /** By the identity of the file, the most recently used last. */
  readonly #hashes = new Map<string, Promise<FileHashes>>();
  #lastJob: Promise<unknown> = Promise.resolve();

  constructor(sources: ProgramSources, hash: typeof hashFile = hashFile) {
    this.#sources = sources;
    this.#hashFile = hash;
  }

  /** Undefined if it does not exist. Throws FileChanged. */
  async openProgram(platform: Platform): Promise<OpenProgram | undefined> {
    const file = await this.#find(programFile(platform), platform);
    if (file === undefined) return undefined;
    try {
      return { ...file, hashes: await this.#hashesOf(file) };
    } catch (error) {
      await file.handle.close();
      throw error;
    }
  }

  /** A compressed form beside the program, if it is not older than the program. */
  async openCompressed(program: OpenFile, suffix: string): Promise<OpenFile | undefined> {
    const cut = program.path.lastIndexOf(sep);
    const file = await openInside(program.path.slice(0, cut), `${program.path.slice(cut + 1)}${suffix}`);
    if (file === undefined || file.modifiedMs >= program.modifiedMs) return file;
    await file.handle.close();
    return undefined;
  }

  /** The detached signature of the program that is handed out, from the same folder. */
  async signature(name: DownloadName & { kind: "signature" }): Promise<Buffer | undefined> {
    for (const directory of this.#sources.directories) {
      const program = await openInside(directory, programFile(name.platform));
      if (program === undefined) continue;
      await program.handle.close();
      return readText(directory, name.file);
    }
    return undefined;
  }

  /** Names of the programs that exist. */
  async available(): Promise<string[]> {
    const names: string[] = [];
    for (const platform of allPlatforms()) {
      const file = await this.#find(programFile(platform), platform);
      if (file === undefined) continue;
      names.push(programFile(platform));
      await file.handle.close();
    }
    return names;
  }

  /** The file name of this platform's program if it does not exist, because the next machine is most likely of the same kind. */
  async missing(platform: Platform): Promise<string | undefined> {
    const name = programFile(platform);
    const file = await this.#find(name, platform);
    await file?.handle.close();
    return file === undefined ? name : undefined;
  }

  /** SHA256SUMS of the programs that are handed out. Undefined if there are none. Throws FileChanged. */
  async sums(): Promise<Buffer | undefined> {
    const lines: string[] = [];
    for (const platform of allPlatforms()) {
      const name = programFile(platform);
      const file = await this.#find(name, platform);
      if (file === undefined) continue;
      try {
        lines.push(`${(await this.#declaredSum(file, name)) ?? (await this.#hashesOf(file)).sha256}  ${name}\n`);
      } finally {
        await file.handle.close();
      }
    }
    return lines.length === 0 ? undefined : Buffer.from(lines.join(""));
  }

  /** The checksum in the folder's own list, which reveals a file that was damaged after it was built. */
  async #declaredSum(program: OpenFile, name: string): Promise<string | undefined> {
    if (program.path === this.#sources.own?.path) return undefined;
    const list = await readText(program.path.slice(0, program.path.lastIndexOf(sep)), SUMS_NAME);
    const declared = list
      ?.toString("latin1")
      .split(/\r?\n/)
      .map((line) => /^([0-9a-fA-F]{64}) [ *](.+)$/.exec(line))
      .find((match) => match?.[2] === name);
    return declared?.[1]?.toLowerCase();
  }

  async #find(name: string, platform: Platform): Promise<OpenFile | undefined> {
    for (const directory of this.#sources.directories) {
      const file = await openInside(directory, name);
      if (file !== undefined) return file;
    }
    const { own } = this.#sources;
    if (own === undefined || programFile(own.platform) !== programFile(platform)) return undefined;
    return openRegular(own.path);
  }

  async #hashesOf(file: OpenFile): Promise<FileHashes> {
    const before = await file.handle.stat({ bigint: true });
    const key = `${before.dev}:${before.ino}:${before.size}:${before.mtimeNs}`;
    let known = this.#hashes.get(key);
    if (known === undefined) {
      known = this.#compute(file, async () => (await file.handle.stat({ bigint: true })).mtimeNs === before.mtimeNs);
      known.catch(() => this.#hashes.delete(key));
      const oldest = this.#hashes.keys().next();
      if (this.#hashes.size >= MAX_REMEMBERED && oldest.done !== true) this.#hashes.delete(oldest.value);
    } else {
      this.#hashes.delete(key);
    }
    this.#hashes.set(key, known);
    return known;
  }

  /** Computes the hashes of one file at a time, however many requests wait. */
  #compute(file: OpenFile, unchanged: () => Promise<boolean>): Promise<FileHashes> {
    const job = this.#lastJob.then(async () => {
      const hashes = await this.#hashFile(file.handle.fd, file.size);
      if (!(await unchanged())) throw new FileChanged();
      return hashes;
    });
    this.#lastJob = job.catch(() => undefined);
    return job;
  }
}

/** Opens a regular file inside the folder: a link may lead to another file of the folder, but not outside it. */
async function openInside(directory: string, name: string): Promise<OpenFile | undefined> {
  try {
    const folder = await realpath(directory);
    const path = await realpath(join(folder, name));
    const prefix = folder.endsWith(sep) ? folder : `${folder}${sep}`;
    return path.startsWith(prefix) ? await openRegular(path) : undefined;
  } catch (error) {
    return ignoreMissing(error);
  }
}

async function openRegular(path: string): Promise<OpenFile | undefined> {
  // O_NONBLOCK, because opening a named pipe would wait for a writer. Windows has neither flag.
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  let handle: FileHandle;
  try {
    handle = await open(path, flags);
  } catch (error) {
    return ignoreMissing(error);
  }
  let stats: Stats;
  try {
    stats = await handle.stat();
  } catch (error) {
    await handle.close();
    throw error;
  }
  if (stats.isFile()) return { handle, size: stats.size, modifiedMs: stats.mtimeMs, path };
  await handle.close();
  return undefined;
}

async function readText(directory: string, name: string): Promise<Buffer | undefined> {
  const file = await openInside(directory, name);
  if (file === undefined) return undefined;
  try {
    if (file.size > MAX_TEXT_BYTES) return undefined;
    const text = Buffer.alloc(file.size);
    const { bytesRead } = await file.handle.read(text, 0, file.size, 0);
    return text.subarray(0, bytesRead);
  } finally {
    await file.handle.close();
  }
}

/** Files that do not exist, or may not be read, are not handed out. */
function ignoreMissing(error: unknown): undefined {
  const code = nodeErrorCode(error) ?? "";
  if (["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM", "ENXIO", "EISDIR"].includes(code)) return undefined;
  throw error;
}
