/**
 * Copies files from one side to the other: to a part file beside the destination, continued where an earlier attempt left
 * it, checked by SHA-256 and only then put in place.
 */
import { UserError } from "../errors/user-error.ts";
import type { FileFacts, FileSystem } from "./file-system.ts";
import { isPlainName, printable } from "./location.ts";

/** SFTP servers answer requests of this size in one packet. */
const BLOCK_BYTES = 32 * 1024;
/** Requests under way: 2 MiB, which is the window of a channel. */
const WINDOW_BLOCKS = 64;
const PART_SUFFIX = ".coder-part";
const MAX_DEPTH = 64;

export interface CopyProgress {
  readonly name: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface CopierOptions {
  readonly from: FileSystem;
  readonly to: FileSystem;
  readonly recursive: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: CopyProgress) => void;
  /** Something that is passed over, or another line for people. */
  readonly say: (line: string) => void;
}

export interface CopyResult {
  files: number;
  bytes: number;
  /** Bytes that an earlier attempt had brought. */
  resumedBytes: number;
}

export class Copier {
  readonly #options: CopierOptions;
  readonly result: CopyResult = { files: 0, bytes: 0, resumedBytes: 0 };

  constructor(options: CopierOptions) {
    this.#options = options;
  }

  /** Rejects with UserError naming the file, or `signal.reason`. */
  async copy(sources: readonly string[], destination: string): Promise<void> {
    const { from, to, recursive } = this.#options;
    const target = await to.stat(destination);
    const intoFolder = target?.isDirectory === true || sources.length > 1 || /\/$/.test(destination);
    if (intoFolder && target?.isDirectory !== true) {
      throw new UserError(`There is no directory "${printable(destination)}"`, {
        why: sources.length > 1 ? "several files need one" : "the destination ends with a slash",
        code: "ERR_NO_DIRECTORY",
      });
    }
    for (const source of sources) {
      const facts = await from.stat(source);
      if (facts === undefined) throw new UserError(`There is no file "${printable(source)}"`, { code: "ERR_NO_FILE" });
      if (facts.isDirectory && !recursive) {
        throw new UserError(`"${printable(source)}" is a directory`, {
          next: ["copy it with everything in it: -r"],
          code: "ERR_IS_DIRECTORY",
        });
      }
      const name = from.baseName(source);
      const into = intoFolder && isPlainName(name) ? to.join(destination, name) : destination;
      await this.#any(source, facts, into, 0);
    }
  }

  async #any(source: string, facts: FileFacts, destination: string, depth: number): Promise<void> {
    if (facts.isFile) return this.#file(source, facts, destination);
    if (!facts.isDirectory) {
      this.#options.say(`passed over, no ordinary file: ${printable(source)}`);
      return;
    }
    const { from, to, signal, say } = this.#options;
    if (depth > MAX_DEPTH)
      throw new UserError(`"${printable(source)}" is nested too deep`, { why: "a loop of links?" });
    await this.#named(destination, () => to.makeDirectory(destination, facts.mode | 0o700));
    for (const name of await this.#named(source, () => from.list(source))) {
      signal.throwIfAborted();
      if (!isPlainName(name)) {
        say(`passed over, its name leads elsewhere: ${printable(name)}`);
        continue;
      }
      if (name.endsWith(PART_SUFFIX)) continue; // of another copy
      const path = from.join(source, name);
      const found = await this.#named(path, () => from.stat(path));
      if (found === undefined) say(`passed over, a link to nothing: ${printable(path)}`);
      else await this.#any(path, found, to.join(destination, name), depth + 1);
    }
    await this.#named(destination, () => to.chmod(destination, facts.mode));
  }

  async #file(source: string, facts: FileFacts, destination: string): Promise<void> {
    const { from, to, signal } = this.#options;
    signal.throwIfAborted();
    const existing = await this.#named(destination, () => to.stat(destination));
    if (existing?.isDirectory === true)
      throw new UserError(`"${printable(destination)}" is a directory`, { code: "ERR_IS_DIRECTORY" });
    const part = `${destination}${PART_SUFFIX}`;
    const resumed = await this.#usable(source, facts.size, part);
    await this.#named(destination, () => this.#transfer(source, part, resumed, facts.size));
    const [there, here] = await Promise.all([from.hash(source, facts.size), to.hash(part, facts.size)]);
    if (there !== here) {
      await to.remove(part);
      throw new UserError(`"${printable(source)}" did not arrive as it is`, {
        why: "it was changed while it was copied, or what an earlier attempt left was",
        next: ["run this again"],
        code: "ERR_CHECKSUM",
      });
    }
    await this.#named(destination, async () => {
      await to.chmod(part, facts.mode);
      await to.rename(part, destination);
    });
    this.result.files++;
    this.result.bytes += facts.size;
    this.result.resumedBytes += resumed;
  }

  /** How much of an earlier attempt is the beginning of this file. */
  async #usable(source: string, size: number, part: string): Promise<number> {
    const { from, to } = this.#options;
    const left = await to.stat(part);
    if (left?.isFile !== true || left.size === 0 || left.size > size) return 0;
    const [wanted, found] = await Promise.all([from.hash(source, left.size), to.hash(part, left.size)]);
    return wanted === found ? left.size : 0;
  }

  /** Blocks are written in order, so that what is there after a break is a beginning. */
  async #transfer(source: string, part: string, begin: number, size: number): Promise<void> {
    const { from, to, signal, onProgress } = this.#options;
    const name = from.baseName(source);
    const input = await from.openRead(source);
    try {
      const output = await to.openWrite(part, begin);
      try {
        const reads: Promise<Uint8Array>[] = [];
        const writes: Promise<void>[] = [];
        let asked = begin;
        let at = begin;
        const ask = (): void => {
          while (reads.length < WINDOW_BLOCKS && asked < size) {
            const read = input.read(asked, Math.min(BLOCK_BYTES, size - asked));
            read.catch(() => undefined); // heard when its turn comes
            reads.push(read);
            asked += BLOCK_BYTES;
          }
        };
        for (ask(); reads.length > 0; ask()) {
          signal.throwIfAborted();
          const bytes = await reads.shift()!;
          const wanted = Math.min(BLOCK_BYTES, size - at);
          if (bytes.length < wanted) throw new Error("it became shorter while it was copied");
          const write = output.write(at, bytes);
          write.catch(() => undefined); // heard below
          writes.push(write);
          at += bytes.length;
          if (writes.length >= WINDOW_BLOCKS) await writes.shift();
          onProgress({ name, doneBytes: at, totalBytes: size });
        }
        await Promise.all(writes);
      } finally {
        await output.close();
      }
    } finally {
      await input.close();
    }
  }

  /** Errors of either side with the file's name, in words. */
  async #named<T>(path: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (error instanceof UserError || !(error instanceof Error)) throw error;
      const code = String((error as { code?: unknown }).code ?? "");
      throw new UserError(`Cannot copy "${printable(path)}"`, {
        why: REASONS[code] ?? error.message,
        code: "ERR_COPY",
        cause: error,
      });
    }
  }
}

/** By error code of this machine, and of SFTP. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: "it may not be read or written by this user",
  ENOSPC: "the disk is full",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of its path is no directory",
  "2": "a directory of its path is missing",
  "3": "it may not be read or written by the workspace's user",
};
