import { createHash } from "node:crypto";
import { constants, createReadStream, type Stats } from "node:fs";
import { chmod, type FileHandle, lstat, mkdir, open, opendir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Entry, FileFacts, FileSystem, PartFile, SourceFile } from "./file-system.ts";

const ENTRIES_PER_PAGE = 128;
const OPEN_FILES = 256;
/** Opening a pipe that took the file's place must not block, and a link must not be followed. Windows has neither flag. */
const NO_BLOCK = constants.O_NONBLOCK ?? 0;
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

/** The files of this machine. */
export class LocalFiles implements FileSystem {
  readonly openFiles = OPEN_FILES;
  readonly canSync = true;

  async owner(): Promise<number | undefined> {
    return process.getuid?.();
  }

  async umask(): Promise<number> {
    return process.umask();
  }

  stat(path: string): Promise<FileFacts | undefined> {
    return factsIfThere(stat(path));
  }

  lstat(path: string): Promise<FileFacts | undefined> {
    return factsIfThere(lstat(path));
  }

  async *list(path: string): AsyncGenerator<readonly Entry[]> {
    let page: Entry[] = [];
    for await (const { name } of await opendir(path, { bufferSize: ENTRIES_PER_PAGE })) {
      page.push({ name });
      if (page.length < ENTRIES_PER_PAGE) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async makeDirectory(path: string, mode: number): Promise<boolean> {
    try {
      await mkdir(path, { mode });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      return false;
    }
  }

  hash(path: string, bytes: number): Promise<string> {
    const hash = createHash("sha256");
    if (bytes === 0) return Promise.resolve(hash.digest("hex"));
    return new Promise((resolve, reject) => {
      createReadStream(path, { end: bytes - 1, highWaterMark: 1 << 20 })
        .on("data", (chunk) => hash.update(chunk))
        .on("error", reject)
        .on("end", () => resolve(hash.digest("hex")));
    });
  }

  async openRead(path: string): Promise<SourceFile> {
    const file = await open(path, constants.O_RDONLY | NO_BLOCK);
    try {
      return new LocalSource(file, factsOf(await file.stat()));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async createPart(path: string): Promise<PartFile | undefined> {
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
      return new LocalPart(path, await open(path, flags, 0o600));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      return undefined;
    }
  }

  async openPart(path: string): Promise<PartFile> {
    return new LocalPart(path, await open(path, constants.O_WRONLY | NO_FOLLOW));
  }

  chmod(path: string, mode: number): Promise<void> {
    return chmod(path, mode);
  }

  rename(from: string, to: string): Promise<void> {
    return rename(from, to);
  }

  remove(path: string): Promise<void> {
    return rm(path, { force: true });
  }

  join(folder: string, name: string): string {
    return join(folder, name);
  }

  baseName(path: string): string {
    return basename(path);
  }
}

class LocalSource implements SourceFile {
  readonly #file: FileHandle;
  /** Taken before the first read, because calls made without waiting have no order here. */
  readonly #before: FileFacts;
  readonly #reads = new Set<Promise<unknown>>();

  constructor(file: FileHandle, before: FileFacts) {
    this.#file = file;
    this.#before = before;
  }

  facts(): Promise<FileFacts> {
    return Promise.resolve(this.#before);
  }

  read(offset: number, target: Uint8Array): Promise<number> {
    const reading = this.#read(offset, target);
    this.#reads.add(reading);
    const done = (): void => void this.#reads.delete(reading);
    reading.then(done, done);
    return reading;
  }

  async finish(): Promise<FileFacts> {
    try {
      await Promise.all(this.#reads);
      return factsOf(await this.#file.stat());
    } finally {
      await this.abandon();
    }
  }

  /** Waits for reads under way. */
  abandon(): Promise<void> {
    return this.#file.close();
  }

  async #read(offset: number, target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      const { bytesRead } = await this.#file.read(target, filled, target.length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }
}

/** Writes one block after the other, so that after a break the part is a prefix of the file. */
class LocalPart implements PartFile {
  readonly #path: string;
  readonly #file: FileHandle;
  #last: Promise<void> = Promise.resolve();

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#last = this.#last.then(async () => {
      for (let at = 0; at < bytes.length; )
        at += (await this.#file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
    });
    return this.#last;
  }

  async facts(): Promise<FileFacts> {
    return factsOf(await this.#file.stat());
  }

  chmod(mode: number): Promise<void> {
    return this.#file.chmod(mode);
  }

  async finish({ mode, sync }: { mode: number; sync: boolean }): Promise<number> {
    await this.#last;
    await this.#file.chmod(mode);
    if (sync) await this.#file.sync();
    const [mine, named] = [await this.#file.stat(), await ifThere(lstat(this.#path))];
    await this.#file.close();
    return named !== undefined && named.ino === mine.ino && named.dev === mine.dev ? named.size : -1;
  }

  async abandon(): Promise<void> {
    await this.#last.catch(() => undefined); // the caller gets this failure from write()
    await this.#file.close();
  }
}

async function factsIfThere(asked: Promise<Stats>): Promise<FileFacts | undefined> {
  const found = await ifThere(asked);
  return found === undefined ? undefined : factsOf(found);
}

async function ifThere(asked: Promise<Stats>): Promise<Stats | undefined> {
  try {
    return await asked;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function factsOf(found: Stats): FileFacts {
  return {
    isDirectory: found.isDirectory(),
    isFile: found.isFile(),
    size: found.size,
    mode: found.mode & 0o777,
    modifiedMs: found.mtimeMs,
    owner: found.uid,
    links: found.nlink,
  };
}
