/** Copies files and trees from one side to the other, several files and directories at once. */
import { UserError } from "../errors/user-error.ts";
import { BlockPool } from "./block-pool.ts";
import { copyError, refusalReason } from "./copy-error.ts";
import type { Entry, FileFacts, FileSystem } from "./file-system.ts";
import { Group } from "./group.ts";
import { handled } from "./handled.ts";
import { isPlainName, printableName } from "./location.ts";
import { Slots } from "./slots.ts";
import { PART_SUFFIX, type TransferFile, transferFile } from "./transfer.ts";

const MAX_FILES = 64;
const MAX_LISTS = 8;
const MAX_DEPTH = 64;
/** Directory entries that are looked up at the same time. */
const LOOK_UPS = 128;
/** Permissions that a directory needs while it is filled. */
const OWNER_ALL = 0o700;

export interface CopyProgress {
  readonly name: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Totals of all files: complete ones, those being copied, and the bytes of both. */
  readonly files: number;
  readonly filesUnderWay: number;
  readonly bytes: number;
}

export interface CopierOptions {
  readonly from: FileSystem;
  readonly to: FileSystem;
  readonly recursive: boolean;
  /** Write each file to disk before it takes its place. */
  readonly sync: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: CopyProgress) => void;
  /** Called with a line for people about each entry that is skipped. */
  readonly say: (line: string) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

export interface CopyResult {
  files: number;
  bytes: number;
  /** Bytes that an earlier attempt had already copied. */
  resumedBytes: number;
  /** Directory entries that were skipped; each was reported. */
  skipped: number;
}

type Planned = Pick<TransferFile, "source" | "facts" | "destination">;

interface Item extends TransferFile {
  readonly depth: number;
  readonly parent: Group;
}

export class Copier {
  readonly #options: CopierOptions;
  readonly #blocks = new BlockPool();
  readonly #lists = new Slots(() => MAX_LISTS);
  readonly #files: Slots;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #failure: { readonly error: unknown } | undefined;
  #bytes = 0;
  readonly result: CopyResult = { files: 0, bytes: 0, resumedBytes: 0, skipped: 0 };

  constructor(options: CopierOptions) {
    const { from, to, signal } = options;
    this.#options = options;
    this.#files = new Slots(() => Math.min(MAX_FILES, from.openFiles, to.openFiles));
    this.#signal = AbortSignal.any([signal, this.#stop.signal]);
  }

  /** Rejects with a UserError that names the file, or with `signal.reason`, after all pending work has ended. */
  async copy(sources: readonly string[], destination: string): Promise<void> {
    if (this.#options.sync && !this.#options.to.canSync) {
      throw new UserError("The workspace cannot write files to disk on request", {
        why: "its SFTP server does not offer fsync@openssh.com",
        next: ["copy without --fsync"],
        code: "ERR_NO_FSYNC",
      });
    }
    void handled(this.#options.to.umask()); // started early, so that it is known when the first file is made
    try {
      const planned = await this.#plan(sources, destination);
      while (planned.length > 0 && this.#failure === undefined) await this.#together(planned);
    } catch (error) {
      this.#fail(error);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Copies items up to the first whose destination another pending item also has: that one must be complete first. */
  #together(planned: Planned[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const parent = new Group(resolve);
    const enterAll = async (): Promise<void> => {
      const destinations = new Set<string>();
      for (let item = planned[0]; item !== undefined && !destinations.has(item.destination); item = planned[0]) {
        destinations.add(item.destination);
        planned.shift();
        await this.#enter({ ...item, intoNew: false, depth: 0, parent });
      }
    };
    this.#spawn(enterAll(), () => parent.leave());
    return promise;
  }

  async #plan(sources: readonly string[], destination: string): Promise<Planned[]> {
    const { from, to, recursive } = this.#options;
    const looking = sources.map((source) => named(source, () => from.stat(source)));
    const [target, ...found] = await Promise.all([named(destination, () => to.stat(destination)), ...looking]);
    const intoFolder = target?.isDirectory === true || sources.length > 1 || /\/$/.test(destination);
    if (intoFolder && target?.isDirectory !== true) {
      throw new UserError(`There is no directory "${printableName(destination)}"`, {
        why: sources.length > 1 ? "several files need one" : "the destination ends with a slash",
        code: "ERR_NO_DIRECTORY",
      });
    }
    return sources.map((source, index) => {
      const facts = found[index];
      if (facts === undefined) throw missing(source);
      if (facts.isDirectory && !recursive) {
        throw new UserError(`"${printableName(source)}" is a directory`, {
          next: ["copy it with everything in it: -r"],
          code: "ERR_IS_DIRECTORY",
        });
      }
      const name = from.baseName(source);
      const into = intoFolder && isPlainName(name) ? to.join(destination, name) : destination;
      return { source, facts, destination: into };
    });
  }

  /** Resolves when the next item may be entered: the work for this one has started or ended. */
  async #enter(item: Item): Promise<void> {
    this.#signal.throwIfAborted();
    const { source, facts, parent } = item;
    if (facts.isDirectory) {
      parent.add();
      if (!this.#lists.tryTake()) return this.#directory(item);
      this.#spawn(this.#directory(item), () => this.#lists.release());
    } else if (facts.isFile) {
      parent.add();
      await this.#files.take();
      this.#spawn(this.#file(item), () => {
        this.#files.release();
        parent.leave();
      });
    } else {
      this.#skip("not a regular file", source);
    }
  }

  /** Resolves at the end of the list; permissions are set after the last child. */
  async #directory({ source, facts, destination, depth, parent }: Item): Promise<void> {
    const { from, to } = this.#options;
    let intoNew = false;
    const permit = async (): Promise<void> => {
      // Existing directories keep their permissions; new ones that their owner may write to were made with the right ones.
      if (!intoNew || this.#signal.aborted || (facts.mode & OWNER_ALL) === OWNER_ALL) return;
      await named(destination, async () => to.chmod(destination, facts.mode & ~(await to.umask())));
    };
    const children = new Group(() => this.#spawn(permit(), () => parent.leave()));
    try {
      if (depth > MAX_DEPTH)
        throw new UserError(`"${printableName(source)}" is nested too deep`, { why: "perhaps a loop of links" });
      intoNew = await named(destination, () => to.makeDirectory(destination, facts.mode | OWNER_ALL));
      for await (const page of pages(source, from.list(source))) {
        const names = page.filter(({ name }) => this.#isCopied(source, name));
        for (let at = 0; at < names.length; at += LOOK_UPS) {
          for (const { path, name, found, refusal } of await this.#lookUp(source, names.slice(at, at + LOOK_UPS))) {
            const into = to.join(destination, name);
            if (found === undefined) this.#skip(refusal ?? whyMissing(name), path);
            else
              await this.#enter({
                source: path,
                facts: found,
                destination: into,
                intoNew,
                depth: depth + 1,
                parent: children,
              });
          }
        }
      }
    } catch (error) {
      this.#fail(error); // reported before the children count as complete
    } finally {
      children.leave();
    }
  }

  #isCopied(folder: string, name: string): boolean {
    if (!isPlainName(name)) this.#skip("its name would lead out of its directory", name);
    else if (name.endsWith(PART_SUFFIX)) this.#skip("a part of another copy", this.#options.from.join(folder, name));
    else return true;
    return false;
  }

  #skip(why: string, path: string): void {
    this.result.skipped++;
    this.#options.say(`Skipped ${printableName(path)}: ${why}`);
  }

  #lookUp(
    folder: string,
    entries: readonly Entry[],
  ): Promise<{ path: string; name: string; found?: FileFacts | undefined; refusal?: string | undefined }[]> {
    const { from } = this.#options;
    return Promise.all(
      entries.map(async ({ name, facts }) => {
        const path = from.join(folder, name);
        if (facts !== undefined) return { path, name, found: facts };
        try {
          return { path, name, found: await from.stat(path) };
        } catch (error) {
          const refusal = refusalReason(error);
          if (refusal === undefined) throw copyError(path, error);
          return { path, name, refusal };
        }
      }),
    );
  }

  async #file(item: Item): Promise<void> {
    const { from, to, sync, onProgress, now = () => performance.now() } = this.#options;
    const name = from.baseName(item.source);
    const copied = await transferFile(item, {
      from,
      to,
      sync,
      blocks: this.#blocks,
      signal: this.#signal,
      now,
      onProgress: (addedBytes, doneBytes, totalBytes) => {
        this.#bytes += addedBytes;
        const { files } = this.result;
        onProgress({ name, doneBytes, totalBytes, files, filesUnderWay: this.#files.taken, bytes: this.#bytes });
      },
    });
    if (copied === undefined) {
      if (item.depth === 0) throw missing(item.source);
      this.#skip("it was removed in the meantime", item.source);
      return;
    }
    this.result.files++;
    this.result.bytes += copied.bytes;
    this.result.resumedBytes += copied.resumedBytes;
  }

  /** @param ended Called after a failure too, which has been recorded by then. */
  #spawn(work: Promise<void>, ended: () => void): void {
    void work.catch((error: unknown) => this.#fail(error)).then(ended);
  }

  /** The first failure ends the copy. Failures after the command was stopped are a consequence of that. */
  #fail(error: unknown): void {
    const { signal } = this.#options;
    this.#failure ??= { error: signal.aborted ? signal.reason : error };
    this.#stop.abort(this.#failure.error);
  }
}

async function* pages(source: string, list: AsyncIterable<readonly Entry[]>): AsyncGenerator<readonly Entry[]> {
  try {
    yield* list;
  } catch (error) {
    throw copyError(source, error);
  }
}

async function named<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw copyError(path, error);
  }
}

function missing(source: string): UserError {
  return new UserError(`There is no file "${printableName(source)}"`, { code: "ERR_NO_FILE" });
}

function whyMissing(name: string): string {
  return name.includes("\ufffd") ? "its name is not UTF-8" : "a link to nothing";
}
