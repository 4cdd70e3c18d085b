/**
 * One file from one side to the other: to a part file beside the destination, continued where an earlier attempt left it,
 * and put in place when it is complete.
 */
import { UserError } from "../errors/user-error.ts";
import { BLOCK_BYTES, type BlockPool } from "./block-pool.ts";
import { copyError, isMissing } from "./copy-error.ts";
import type { FileFacts, FileSystem, PartFile, SourceFile } from "./file-system.ts";
import { handled } from "./handled.ts";
import { printable } from "./location.ts";

export const PART_SUFFIX = ".coder-part";
/** A smaller part costs less to copy again than to compare. */
export const RESUME_BYTES = 1024 * 1024;
const ATTEMPTS = 3;

export interface TransferOptions {
  readonly from: FileSystem;
  readonly to: FileSystem;
  readonly blocks: BlockPool;
  /** Write the file to disk before it takes its place. */
  readonly sync: boolean;
  readonly signal: AbortSignal;
  /** Some more bytes of the file are on their way. */
  readonly onProgress: (addedBytes: number, doneBytes: number, totalBytes: number) => void;
}

export interface TransferFile {
  readonly source: string;
  /** As a list has them, which may be of long ago. */
  readonly facts: FileFacts;
  readonly destination: string;
  /** The directory was made by this copy: there is nothing to look for. */
  readonly intoNew: boolean;
}

/** Undefined: the source is not there any more. */
export async function transferFile(
  file: TransferFile,
  options: TransferOptions,
): Promise<{ bytes: number; resumedBytes: number } | undefined> {
  let { facts } = file;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    options.signal.throwIfAborted();
    let source: SourceFile;
    try {
      source = await options.from.openRead(file.source);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw copyError(file.source, error);
    }
    const transfer = new Transfer({ ...file, facts }, source, options);
    const other = await transfer.run();
    if (other === undefined) return { bytes: facts.size, resumedBytes: transfer.resumedBytes };
    facts = other;
  }
  throw changed(file.source);
}

class Transfer {
  readonly #file: TransferFile;
  readonly #source: SourceFile;
  readonly #options: TransferOptions;
  readonly #partPath: string;
  #part: PartFile | undefined;
  /** Reads whose turn to be written has not come. */
  readonly #reads: { readonly block: Uint8Array; readonly length: number; readonly filled: Promise<number> }[] = [];
  readonly #writes = new Set<Promise<void>>();
  #writeFailure: { readonly error: unknown } | undefined;
  /** The source's facts behind its last byte, once that has been asked for. */
  #after: Promise<FileFacts> | undefined;
  #asked = 0;
  /** Given to the part, and acknowledged by it. */
  #written = 0;
  #acknowledged = 0;
  /** What was written is of no use to a later attempt. */
  #spoilt = false;
  resumedBytes = 0;

  constructor(file: TransferFile, source: SourceFile, options: TransferOptions) {
    this.#file = file;
    this.#source = source;
    this.#options = options;
    this.#partPath = `${file.destination}${PART_SUFFIX}`;
  }

  /** Resolves with the facts of the open file when it has another size than was listed: nothing was copied then. */
  async run(): Promise<FileFacts | undefined> {
    try {
      this.#options.signal.throwIfAborted();
      this.#part = await this.#begin();
      this.#asked = this.resumedBytes;
      this.#written = this.resumedBytes;
      this.#acknowledged = this.resumedBytes;
      const facts = handled(this.#source.facts());
      this.#readAhead();
      const before = await this.#ofSource(facts);
      if (!before.isFile) throw new UserError(`"${printable(this.#file.source)}" is no ordinary file any more`);
      if (before.size !== this.#file.facts.size) {
        await this.#abandon();
        return before;
      }
      await this.#copyBlocks(this.#part);
      await this.#complete(this.#part, before);
      return undefined;
    } catch (error) {
      await this.#abandon();
      this.#options.signal.throwIfAborted();
      throw copyError(this.#file.destination, error);
    }
  }

  async #begin(): Promise<PartFile> {
    const { to } = this.#options;
    const { destination, intoNew } = this.#file;
    const looking = intoNew ? undefined : handled(to.stat(destination));
    this.#part = await to.createPart(this.#partPath);
    if ((await looking)?.isDirectory === true)
      throw new UserError(`"${printable(destination)}" is a directory`, { code: "ERR_IS_DIRECTORY" });
    if (this.#part !== undefined) return this.#part;
    const resumed = await this.#openLeftover();
    if (resumed !== undefined) return resumed;
    await to.remove(this.#partPath);
    const created = await to.createPart(this.#partPath);
    if (created === undefined) throw new Error(`another program makes "${printable(this.#partPath)}" again and again`);
    return created;
  }

  /** What an earlier attempt left, when it is the beginning of this file. */
  async #openLeftover(): Promise<PartFile | undefined> {
    const { from, to } = this.#options;
    const { source, facts } = this.#file;
    const left = await to.lstat(this.#partPath);
    if (left?.isFile !== true || left.size < RESUME_BYTES || left.size > facts.size) return undefined;
    const [wanted, found] = await Promise.all([
      this.#ofSource(from.hash(source, left.size)),
      to.hash(this.#partPath, left.size),
    ]);
    if (wanted !== found) return undefined;
    try {
      const part = await to.openPart(this.#partPath);
      this.resumedBytes = left.size;
      return part;
    } catch {
      return undefined; // it has the permissions of the complete file already, which may forbid writing
    }
  }

  /** Asks for as much as there are free blocks. */
  #readAhead(): void {
    const { size } = this.#file.facts;
    while (this.#asked < size) {
      const block = this.#options.blocks.tryTake();
      if (block === undefined) return;
      this.#read(block);
    }
    this.#after ??= handled(this.#source.finish());
  }

  #read(block: Uint8Array): void {
    const length = Math.min(BLOCK_BYTES, this.#file.facts.size - this.#asked);
    const filled = handled(this.#source.read(this.#asked, block.subarray(0, length)));
    this.#reads.push({ block, length, filled });
    this.#asked += length;
  }

  /** Blocks are written in order, so that what is there after a break is a beginning. */
  async #copyBlocks(part: PartFile): Promise<void> {
    const { signal, blocks } = this.#options;
    const { size } = this.#file.facts;
    while (this.#written < size) {
      signal.throwIfAborted();
      if (this.#writeFailure !== undefined) throw this.#writeFailure.error;
      this.#readAhead();
      if (this.#reads.length === 0) this.#read(await blocks.take());
      const { length, filled } = this.#reads[0]!;
      const count = await this.#ofSource(filled);
      if (count < length) throw changed(this.#file.source, "it became shorter while it was copied");
      this.#write(part, this.#reads.shift()!.block, length);
    }
    this.#readAhead();
  }

  #write(part: PartFile, block: Uint8Array, length: number): void {
    const { blocks, onProgress } = this.#options;
    const writing = part
      .write(this.#written, block.subarray(0, length))
      .then(
        () => {
          this.#acknowledged += length;
        },
        (error: unknown) => {
          this.#writeFailure ??= { error };
        },
      )
      .finally(() => {
        this.#writes.delete(writing);
        blocks.give(block);
      });
    this.#writes.add(writing);
    this.#written += length;
    onProgress(length, this.#written, this.#file.facts.size);
  }

  async #complete(part: PartFile, before: FileFacts): Promise<void> {
    const { to, sync } = this.#options;
    const { size } = before;
    const finished = handled(part.finish({ mode: before.mode, sync }));
    await Promise.all(this.#writes);
    if (this.#writeFailure !== undefined) throw this.#writeFailure.error;
    const written = await finished;
    if (written !== size && (await to.lstat(this.#partPath))?.size !== size) {
      this.#spoilt = true;
      throw new Error("its part file was replaced or cut while it was copied; does another copy write there?");
    }
    const after = await this.#ofSource(this.#after!);
    if (after.size !== size || after.modifiedMs !== before.modifiedMs) await this.#compare(size);
    await to.rename(this.#partPath, this.#file.destination);
  }

  /** A file that grew at its end, as logs do, has arrived as it was at first. */
  async #compare(size: number): Promise<void> {
    const { from, to } = this.#options;
    const { source } = this.#file;
    const [there, here] = await Promise.all([this.#ofSource(from.hash(source, size)), to.hash(this.#partPath, size)]);
    if (there === here) return;
    this.#spoilt = true;
    throw changed(source);
  }

  /** After a failure: ends what is under way, and removes a part that is not worth keeping. */
  async #abandon(): Promise<void> {
    const { to, blocks } = this.#options;
    await Promise.allSettled([...this.#writes, ...this.#reads.map(({ filled }) => filled)]);
    for (const { block } of this.#reads.splice(0)) blocks.give(block);
    const closed = [this.#source.abandon(), this.#part?.abandon()];
    const useless = this.#part !== undefined && (this.#spoilt || this.#acknowledged < RESUME_BYTES);
    // What fails here fails for the reason that is reported already; the next attempt replaces the part.
    await Promise.allSettled(closed);
    if (useless) await Promise.allSettled([to.remove(this.#partPath)]);
  }

  async #ofSource<T>(promise: Promise<T>): Promise<T> {
    try {
      return await promise;
    } catch (error) {
      throw copyError(this.#file.source, error);
    }
  }
}

function changed(source: string, how = "it was changed while it was copied"): UserError {
  return new UserError(`"${printable(source)}" did not arrive as it is`, {
    why: how,
    next: ["run this again"],
    code: "ERR_CHECKSUM",
  });
}
