/**
 * Copies one file from one side to the other: to a part file beside the destination, which continues an earlier attempt and is
 * put in place when it is complete.
 */
import { UserError } from "../errors/user-error.ts";
import { BLOCK_BYTES, type BlockPool } from "./block-pool.ts";
import { copyError, isMissing } from "./copy-error.ts";
import type { FileFacts, FileSystem, PartFile, SourceFile } from "./file-system.ts";
import { handled } from "./handled.ts";
import { isSystemName, printableName } from "./location.ts";
import { PartClaim } from "./part-claim.ts";

export const PART_SUFFIX = ".coder-part";
/** Copying a smaller part again costs less than comparing it. */
const RESUME_BYTES = 1024 * 1024;

export interface TransferOptions {
  readonly from: FileSystem;
  readonly to: FileSystem;
  readonly blocks: BlockPool;
  /** Write the file to disk before it takes its place. */
  readonly sync: boolean;
  readonly signal: AbortSignal;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Called as further bytes of the file are copied. */
  readonly onProgress: (addedBytes: number, doneBytes: number, totalBytes: number) => void;
}

export interface TransferFile {
  readonly source: string;
  /** From the listing of the directory, which may be outdated. */
  readonly facts: FileFacts;
  readonly destination: string;
  /** This copy made the directory, so no file of an earlier attempt is looked for. */
  readonly intoNew: boolean;
}

/** Undefined when the source no longer exists. */
export async function transferFile(
  file: TransferFile,
  options: TransferOptions,
): Promise<{ bytes: number; resumedBytes: number } | undefined> {
  for (const trusted of [true, false]) {
    options.signal.throwIfAborted();
    let source: SourceFile;
    try {
      source = await options.from.openRead(file.source);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw copyError(file.source, error);
    }
    const transfer = new Transfer(file, source, options, trusted);
    if (await transfer.run()) return { bytes: transfer.size, resumedBytes: transfer.resumedBytes };
  }
  throw changed(file.source);
}

class Transfer {
  readonly #file: TransferFile;
  readonly #source: SourceFile;
  readonly #options: TransferOptions;
  readonly #partPath: string;
  /** Reads start with the size from the listing, without waiting for that of the open file. */
  readonly #trusted: boolean;
  #part: PartFile | undefined;
  /** The claim to a part that is worth resuming. */
  #claim: PartClaim | undefined;
  /** Permissions of the file that is replaced. */
  #oldMode: number | undefined;
  /** Reads that have not been written yet, in order. */
  readonly #reads: { readonly block: Uint8Array; readonly length: number; readonly filled: Promise<number> }[] = [];
  readonly #writes = new Set<Promise<void>>();
  #writeFailure: { readonly error: unknown } | undefined;
  /** The source's facts after its last byte, once they have been requested. */
  #after: Promise<FileFacts> | undefined;
  #asked = 0;
  /** Bytes given to the part; `#acknowledged` counts those that it has confirmed. */
  #written = 0;
  #acknowledged = 0;
  /** What was written is of no use to a later attempt. */
  #isUseless = false;
  /** The part's name now belongs to another copy's file. */
  #foreign = false;
  /** Bytes to copy, as far as is known. */
  size: number;
  resumedBytes = 0;

  constructor(file: TransferFile, source: SourceFile, options: TransferOptions, trusted: boolean) {
    this.#file = file;
    this.#source = source;
    this.#trusted = trusted;
    this.size = file.facts.size;
    this.#options = options;
    this.#partPath = `${file.destination}${PART_SUFFIX}`;
  }

  /** Resolves with false, without copying anything, when the size differs from the listing. */
  async run(): Promise<boolean> {
    try {
      this.#options.signal.throwIfAborted();
      const facts = handled(this.#source.facts()); // older than any byte, including those that are compared
      if (!this.#trusted) this.size = (await this.#ofSource(facts)).size;
      this.#part = await this.#begin();
      this.#asked = this.resumedBytes;
      this.#written = this.resumedBytes;
      this.#acknowledged = this.resumedBytes;
      this.#readAhead();
      const before = await this.#ofSource(facts);
      if (!before.isFile) throw new UserError(`"${printableName(this.#file.source)}" is no longer a regular file`);
      if (before.size !== this.size) {
        await this.#abandon();
        return false;
      }
      await this.#copyBlocks(this.#part, before);
      if (before.size === 0) await this.#copyToEnd(this.#part);
      await this.#complete(this.#part, before);
      return true;
    } catch (error) {
      await this.#abandon();
      this.#options.signal.throwIfAborted();
      throw copyError(this.#file.destination, error);
    }
  }

  async #begin(): Promise<PartFile> {
    const { to, now } = this.#options;
    const { destination, intoNew } = this.#file;
    const looking = intoNew ? undefined : handled(to.stat(destination));
    this.#part = await to.createPart(this.#partPath);
    const there = await looking;
    if (there?.isDirectory === true)
      throw new UserError(`"${printableName(destination)}" is a directory`, { code: "ERR_IS_DIRECTORY" });
    if (there !== undefined && (!there.isFile || isSystemName(destination))) throw noRegularFile(destination);
    this.#oldMode = there?.mode;
    if (this.#part === undefined) {
      const resumed = await this.#openLeftover();
      if (resumed !== undefined) return resumed;
      await to.remove(this.#partPath);
      this.#part = await to.createPart(this.#partPath);
    }
    if (this.#part === undefined)
      throw new Error(`another program keeps creating "${printableName(this.#partPath)}" again and again`);
    if (this.size >= RESUME_BYTES) this.#claim = PartClaim.created(this.#part, now);
    return this.#part;
  }

  /** Opens what an earlier attempt left, if it is a prefix of this file. */
  async #openLeftover(): Promise<PartFile | undefined> {
    const { to } = this.#options;
    const left = await to.lstat(this.#partPath);
    if (left?.isFile !== true || left.size < RESUME_BYTES || left.size > this.size) return undefined;
    const owner = await to.owner();
    if (owner !== undefined && left.owner !== undefined && left.owner !== owner) return undefined;
    if (left.links !== undefined && left.links !== 1) return undefined;
    let part: PartFile;
    try {
      part = await to.openPart(this.#partPath);
    } catch {
      return undefined; // a leftover may already have the final permissions, which may forbid writing
    }
    try {
      if (await this.#takeOver(part, left)) return part;
    } catch (error) {
      await Promise.allSettled([part.abandon()]);
      throw error;
    }
    await part.abandon();
    return undefined;
  }

  /** False when it is the beginning of another file, or is still being written to. */
  async #takeOver(part: PartFile, { size }: FileFacts): Promise<boolean> {
    const { from, to, now } = this.#options;
    // Permissions that cannot be changed mean that it belongs to another user. A lost connection rejects the next call too.
    const claimed = await PartClaim.takeOver(part, now).catch(() => undefined);
    if (claimed === undefined) return false;
    const { claim, facts } = claimed;
    const [wanted, found] = await Promise.all([
      this.#ofSource(from.hash(this.#file.source, size)),
      to.hash(this.#partPath, size),
    ]);
    const after = await part.facts();
    if (wanted !== found || after.size !== size || after.modifiedMs !== facts.modifiedMs) return false;
    this.#claim = claim;
    this.resumedBytes = size;
    return true;
  }

  /** Requests blocks of the source while free ones remain. */
  #readAhead(): void {
    while (this.#asked < this.size) {
      const block = this.#options.blocks.tryTake();
      if (block === undefined) return;
      this.#read(block);
    }
    // A size of 0 may mean that the size is unknown, as for files of /proc.
    if (this.size > 0) this.#after ??= handled(this.#source.finish());
  }

  #read(block: Uint8Array): void {
    this.#readInto(block, Math.min(BLOCK_BYTES, this.size - this.#asked));
  }

  #readInto(block: Uint8Array, length: number): void {
    const filled = handled(this.#source.read(this.#asked, block.subarray(0, length)));
    this.#reads.push({ block, length, filled });
    this.#asked += length;
  }

  /** Writes blocks in order, so that after a break the part is a prefix of the file. */
  async #copyBlocks(part: PartFile, before: FileFacts): Promise<void> {
    const { blocks } = this.#options;
    while (this.#written < this.size) {
      this.#readAhead();
      if (this.#reads.length === 0) this.#read(await blocks.take());
      const { length } = this.#reads[0]!;
      if ((await this.#copyBlock(part)) < length) await this.#endHere(before);
    }
    this.#readAhead();
  }

  /** For a file whose size is unknown. */
  async #copyToEnd(part: PartFile): Promise<void> {
    do this.#readInto(await this.#options.blocks.take(), BLOCK_BYTES);
    while ((await this.#copyBlock(part)) === BLOCK_BYTES);
    this.size = this.#written;
    this.#after = handled(this.#source.finish());
  }

  /** Writes the block that was requested first. Resolves with its length. */
  async #copyBlock(part: PartFile): Promise<number> {
    const { signal, blocks } = this.#options;
    const count = await this.#ofSource(this.#reads[0]!.filled);
    await this.#claim?.hold();
    signal.throwIfAborted();
    if (this.#writeFailure !== undefined) throw this.#writeFailure.error;
    const { block } = this.#reads.shift()!;
    if (count > 0) this.#write(part, block, count);
    else blocks.give(block);
    return count;
  }

  /** Files of /sys end before their size. If the file was truncated, its size has changed. */
  async #endHere(before: FileFacts): Promise<void> {
    await Promise.allSettled(this.#reads.map(({ filled }) => filled));
    for (const { block } of this.#reads.splice(0)) this.#options.blocks.give(block);
    this.#asked = this.size;
    this.#readAhead();
    const after = await this.#ofSource(this.#after!);
    if (after.size !== before.size || after.modifiedMs !== before.modifiedMs)
      throw changed(this.#file.source, "it became shorter while it was copied");
    this.size = this.#written;
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
    onProgress(length, this.#written, Math.max(this.size, this.#written));
  }

  async #complete(part: PartFile, before: FileFacts): Promise<void> {
    const { to, sync } = this.#options;
    const { size } = this;
    await this.#claim?.lastCheck();
    const mode = this.#oldMode ?? before.mode & ~(await to.umask());
    const finished = handled(part.finish({ mode, sync }));
    await Promise.all(this.#writes);
    if (this.#writeFailure !== undefined) throw this.#writeFailure.error;
    const written = await finished;
    if (written !== size && (written === -1 || (await to.lstat(this.#partPath))?.size !== size)) {
      this.#foreign = true;
      throw new Error("its part file was replaced or truncated while it was copied; is another copy writing there?");
    }
    const after = await this.#ofSource(this.#after!);
    if (after.size !== before.size || after.modifiedMs !== before.modifiedMs) await this.#compare(size);
    await to.rename(this.#partPath, this.#file.destination);
  }

  /** A file that grew at its end, as logs do, was copied as it was at the start. */
  async #compare(size: number): Promise<void> {
    const { from, to } = this.#options;
    const { source } = this.#file;
    const [there, here] = await Promise.all([this.#ofSource(from.hash(source, size)), to.hash(this.#partPath, size)]);
    if (there === here) return;
    this.#isUseless = true;
    throw changed(source);
  }

  /** After a failure, ends pending work and removes a part that is not worth keeping. */
  async #abandon(): Promise<void> {
    const { to, blocks } = this.#options;
    await Promise.allSettled([...this.#writes, ...this.#reads.map(({ filled }) => filled)]);
    for (const { block } of this.#reads.splice(0)) blocks.give(block);
    const closed = [this.#source.abandon(), this.#part?.abandon()];
    const mine = this.#part !== undefined && !this.#foreign && this.#claim?.lost !== true;
    const useless = mine && (this.#isUseless || this.#acknowledged < RESUME_BYTES);
    // A failure here has the cause that is already reported; the next attempt replaces the part.
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

function noRegularFile(destination: string): UserError {
  return new UserError(`"${printableName(destination)}" is no regular file`, {
    why: "a copy would replace a device, a pipe or a socket",
    next: ["name a file or a directory as the destination"],
    code: "ERR_NO_REGULAR_FILE",
  });
}

function changed(source: string, how = "it was changed while it was copied"): UserError {
  return new UserError(`Checksum mismatch for "${printableName(source)}"`, {
    why: how,
    next: ["run this again"],
    code: "ERR_CHECKSUM",
  });
}
