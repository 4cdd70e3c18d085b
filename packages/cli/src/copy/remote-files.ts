import { createHash, randomUUID } from "node:crypto";
import { type Attributes, OPEN, STATUS } from "coder-agent/services/ssh/sftp/codec";
import type { ClientChannel } from "ssh2";
import { UserError } from "../errors/user-error.ts";
import type { Entry, FileFacts, FileSystem, PartFile, SourceFile } from "./file-system.ts";
import { handled } from "./handled.ts";
import { printableName } from "./location.ts";
import { SftpClient, SftpError, type SftpHandle } from "./sftp/sftp-client.ts";

/** Assumed until the server states its limit, or if it states none. */
const OPEN_FILES = 16;
/** Assumed where no command in the workspace prints it. */
const USUAL_UMASK = 0o022;
/** Paths that every shell takes literally between single quotes; fish interprets backslashes there. */
const PLAIN_PATH = /^[\w./ @+-]+$/;
const HASH_BLOCK_BYTES = 128 * 1024;
/** Bytes kept of what a command in the workspace prints. */
const MAX_OUTPUT = 4096;
/** Lists requested before the first answer: a small directory needs two, since the second marks its end. */
const LISTS_AHEAD = 2;

/** The parts of an SSH connection that are used here. */
export interface SshChannels {
  subsys(name: string, done: (error: Error | null | undefined, channel: ClientChannel) => void): unknown;
  exec(command: string, done: (error: Error | null | undefined, channel: ClientChannel) => void): unknown;
  once(event: "close", listener: () => void): unknown;
}

/** The files of the workspace, over SFTP. */
export class RemoteFiles implements FileSystem {
  readonly #sftp: SftpClient;
  readonly #run: (command: string) => Promise<string>;
  #home: Promise<string> | undefined;
  #owner: Promise<number | undefined> | undefined;
  #umask: Promise<number> | undefined;

  /** @param run Resolves with a command's output; "" when there is no such command or it fails. */
  constructor(sftp: SftpClient, run: (command: string) => Promise<string>) {
    this.#sftp = sftp;
    this.#run = run;
  }

  static async open(client: SshChannels): Promise<RemoteFiles> {
    const channel = await new Promise<ClientChannel>((resolve, reject) => {
      client.subsys("sftp", (error, opened) => (error ? reject(error) : resolve(opened)));
    }).catch((error: Error) => {
      throw new UserError("The workspace does not transfer files", {
        why: `its SSH server offers no SFTP: ${error.message}`,
        code: "ERR_NO_SFTP",
        cause: error,
      });
    });
    channel.stderr.resume();
    const sftp = await SftpClient.open(channel);
    client.once("close", () => sftp.fail(new Error("the connection to the workspace was lost")));
    return new RemoteFiles(sftp, (command) => outputOf(client, command));
  }

  get openFiles(): number {
    const { openHandles } = this.#sftp.limits;
    return openHandles === 0 ? OPEN_FILES : Math.max(1, Math.floor(openHandles / 2));
  }

  get canSync(): boolean {
    return this.#sftp.offers("fsync@openssh.com");
  }

  owner(): Promise<number | undefined> {
    this.#owner ??= this.#run("id -u").then((printed) => {
      const line = lastLine(printed);
      return /^\d+$/.test(line) ? Number(line) : undefined;
    });
    return this.#owner;
  }

  umask(): Promise<number> {
    this.#umask ??= this.#run("umask").then((printed) => {
      const line = lastLine(printed);
      return /^[0-7]{1,4}$/.test(line) ? Number.parseInt(line, 8) & 0o777 : USUAL_UMASK;
    });
    return this.#umask;
  }

  stat(path: string): Promise<FileFacts | undefined> {
    return factsIfThere(this.#sftp.stat(path));
  }

  lstat(path: string): Promise<FileFacts | undefined> {
    return factsIfThere(this.#sftp.lstat(path));
  }

  async *list(path: string): AsyncGenerator<readonly Entry[]> {
    const handle = await this.#sftp.openDirectory(path);
    try {
      const asked = Array.from({ length: LISTS_AHEAD }, () => handled(this.#sftp.readDirectory(handle)));
      for (;;) {
        const entries = await asked.shift()!;
        if (entries === undefined) return;
        asked.push(handled(this.#sftp.readDirectory(handle)));
        yield entries
          .filter(({ name }) => name !== "." && name !== "..")
          .map(({ name, attributes }) => entryOf(name, attributes));
      }
    } finally {
      void handled(this.#sftp.close(handle)); // a directory that was read may fail to close without loss
    }
  }

  async makeDirectory(path: string, mode: number): Promise<boolean> {
    try {
      await this.#sftp.makeDirectory(path, mode);
      return true;
    } catch (error) {
      if (!(error instanceof SftpError) || (await this.stat(path))?.isDirectory !== true) throw error;
      return false;
    }
  }

  async hash(path: string, bytes: number): Promise<string> {
    const absolute = await this.#absolute(path);
    if (!PLAIN_PATH.test(absolute)) return this.#hashByReading(path, bytes);
    const printed = await this.#run(`head -c ${bytes} < '${absolute}' | sha256sum`);
    const digest = /^([0-9a-f]{64})\b/.exec(lastLine(printed))?.[1];
    return digest ?? this.#hashByReading(path, bytes);
  }

  /** SFTP starts in the home directory, but commands may start elsewhere. */
  async #absolute(path: string): Promise<string> {
    if (path.startsWith("/")) return path;
    this.#home ??= this.#sftp.realPath(".");
    return this.join(await this.#home, path);
  }

  async openRead(path: string): Promise<SourceFile> {
    return new RemoteSource(this.#sftp, await this.#sftp.open(path, OPEN.read));
  }

  async createPart(path: string): Promise<PartFile | undefined> {
    try {
      const flags = OPEN.write | OPEN.create | OPEN.exclusive;
      return new RemotePart(this.#sftp, path, await this.#sftp.open(path, flags, 0o600));
    } catch (error) {
      // Version 3 has no status for a name that already exists.
      if (!(error instanceof SftpError) || (await this.lstat(path)) === undefined) throw error;
      return undefined;
    }
  }

  async openPart(path: string): Promise<PartFile> {
    return new RemotePart(this.#sftp, path, await this.#sftp.open(path, OPEN.write));
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.#sftp.setMode(path, mode);
  }

  async rename(from: string, to: string): Promise<void> {
    if (this.#sftp.offers("posix-rename@openssh.com")) return this.#sftp.replace(from, to);
    try {
      await this.#sftp.rename(from, to);
    } catch (error) {
      if (!(error instanceof SftpError) || error.code !== STATUS.failure) throw error;
      await this.#renameOver(from, to, error);
    }
  }

  /** Without the extension the new name must be free: the old file gets another name until the new one is in place. */
  async #renameOver(from: string, to: string, refusal: SftpError): Promise<void> {
    const [part, old] = await Promise.all([this.lstat(from), this.lstat(to)]);
    if (part === undefined || old === undefined || old.isDirectory) throw refusal;
    const aside = `${to}.${randomUUID()}.coder-old`;
    await this.#sftp.rename(to, aside);
    try {
      await this.#sftp.rename(from, to);
    } catch (error) {
      await this.#sftp.rename(aside, to).catch((cause: unknown) => {
        throw new UserError(`"${printableName(to)}" is now called "${printableName(aside)}"`, {
          why: "the new file could not be renamed into its place, and the old name could not be restored",
          next: [`rename "${printableName(aside)}" in the workspace`],
          code: "ERR_COPY",
          cause,
        });
      });
      throw error;
    }
    await this.#sftp.remove(aside);
  }

  remove(path: string): Promise<void> {
    return this.#sftp.remove(path);
  }

  join(folder: string, name: string): string {
    return folder === "." ? name : `${folder.replace(/\/+$/, "")}/${name}`;
  }

  baseName(path: string): string {
    return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  }

  async #hashByReading(path: string, bytes: number): Promise<string> {
    const hash = createHash("sha256");
    const file = await this.openRead(path);
    try {
      const block = new Uint8Array(HASH_BLOCK_BYTES);
      for (let at = 0; at < bytes; ) {
        const count = await file.read(at, block.subarray(0, Math.min(block.length, bytes - at)));
        if (count === 0) break;
        hash.update(block.subarray(0, count));
        at += count;
      }
    } finally {
      await file.abandon();
    }
    return hash.digest("hex");
  }
}

class RemoteSource implements SourceFile {
  readonly #sftp: SftpClient;
  readonly #handle: SftpHandle;
  readonly #reads = new Set<Promise<number>>();
  /** Set when a read needs another request after its first answer. */
  #readLate = false;
  #closed = false;

  constructor(sftp: SftpClient, handle: SftpHandle) {
    this.#sftp = sftp;
    this.#handle = handle;
  }

  async facts(): Promise<FileFacts> {
    return factsOf(await this.#sftp.fstat(this.#handle));
  }

  read(offset: number, target: Uint8Array): Promise<number> {
    const reading = this.#read(offset, target);
    this.#reads.add(reading);
    const done = (): void => void this.#reads.delete(reading);
    reading.then(done, done);
    return reading;
  }

  /**
   * The facts of a one-block file are requested together with the block. After several reads the request waits: a server with
   * workers may answer it before it reads.
   */
  async finish(): Promise<FileFacts> {
    if (this.#reads.size > 1) await Promise.allSettled(this.#reads);
    const early = handled(this.facts());
    await Promise.allSettled(this.#reads);
    const facts = this.#readLate ? handled(this.facts()) : early;
    await this.abandon();
    return facts;
  }

  /** Does not wait: closing a file that was only read loses nothing. */
  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    void handled(this.#sftp.close(this.#handle));
  }

  async #read(offset: number, target: Uint8Array): Promise<number> {
    const limit = this.#sftp.limits.readBytes;
    const pieces: Promise<number>[] = [];
    for (let at = 0; at < target.length; at += limit)
      pieces.push(this.#piece(offset + at, target.subarray(at, at + limit)));
    await Promise.allSettled(pieces); // the others go on filling the target when one fails
    let total = 0;
    for (const [index, count] of (await Promise.all(pieces)).entries()) {
      total += count;
      if (count < Math.min(limit, target.length - index * limit)) break;
    }
    return total;
  }

  async #piece(offset: number, target: Uint8Array): Promise<number> {
    const first = await this.#sftp.read(this.#handle, offset, target);
    let filled = first;
    while (filled > 0 && filled < target.length) {
      this.#readLate = true;
      const count = await this.#sftp.read(this.#handle, offset + filled, target.subarray(filled));
      if (count === 0) break;
      this.#sftp.learnReadLimit(first);
      filled += count;
    }
    return filled;
  }
}

class RemotePart implements PartFile {
  readonly #sftp: SftpClient;
  readonly #path: string;
  readonly #handle: SftpHandle;
  readonly #writes = new Set<Promise<void>>();
  #closed = false;

  constructor(sftp: SftpClient, path: string, handle: SftpHandle) {
    this.#sftp = sftp;
    this.#path = path;
    this.#handle = handle;
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    const writing = this.#write(offset, bytes);
    this.#writes.add(writing);
    const done = (): void => void this.#writes.delete(writing);
    writing.then(done, done);
    return writing;
  }

  async facts(): Promise<FileFacts> {
    return factsOf(await this.#sftp.fstat(this.#handle));
  }

  chmod(mode: number): Promise<void> {
    return this.#sftp.setFileMode(this.#handle, mode);
  }

  async finish({ mode, sync }: { mode: number; sync: boolean }): Promise<number> {
    // A server with workers may sync before the last write is done; only the close waits on every server.
    if (sync) await Promise.all(this.#writes);
    this.#closed = true;
    const changed = this.chmod(mode);
    const asked = this.facts();
    const steps = [changed, ...(sync ? [this.#sftp.sync(this.#handle)] : []), this.#sftp.close(this.#handle)];
    const [mine, named] = await Promise.all([asked, factsIfThere(this.#sftp.lstat(this.#path)), ...steps]);
    // SFTP has no inode number. A server with workers may report on the open file before its last write.
    return named?.isFile === true && named.mode === mine.mode && named.owner === mine.owner ? named.size : -1;
  }

  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#sftp.close(this.#handle);
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    const limit = this.#sftp.limits.writeBytes;
    const pieces: Promise<void>[] = [];
    for (let at = 0; at < bytes.length; at += limit)
      pieces.push(handled(this.#sftp.write(this.#handle, offset + at, bytes.subarray(at, at + limit))));
    await Promise.allSettled(pieces); // the bytes are in use until the last answer
    await Promise.all(pieces).catch((error: unknown) => {
      if (!(error instanceof SftpError) || error.code !== STATUS.failure) throw error;
      throw new Error(`the workspace cannot write it; its disk may be full (${error.message})`, { cause: error });
    });
  }
}

/** A user's ~/.ssh/rc may print before the command does. */
function lastLine(printed: string): string {
  return printed.trimEnd().split("\n").at(-1) ?? "";
}

async function factsIfThere(asked: Promise<Attributes>): Promise<FileFacts | undefined> {
  try {
    return factsOf(await asked);
  } catch (error) {
    if (error instanceof SftpError && error.code === STATUS.noSuchFile) return undefined;
    throw error;
  }
}

const TYPE_BITS = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;

function factsOf({ mode = 0, size = 0, times, owner }: Attributes): FileFacts {
  return {
    isDirectory: (mode & TYPE_BITS) === DIRECTORY,
    isFile: (mode & TYPE_BITS) === REGULAR,
    size,
    mode: mode & 0o777,
    modifiedMs: (times?.modified ?? 0) * 1000,
    owner: owner?.uid,
  };
}

function entryOf(name: string, attributes: Attributes): Entry {
  const facts = factsOf(attributes);
  const known = facts.isDirectory || (facts.isFile && attributes.size !== undefined);
  return known && !name.includes("\ufffd") ? { name, facts } : { name };
}

function outputOf(client: SshChannels, command: string): Promise<string> {
  return new Promise((resolve) => {
    client.exec(command, (error, channel) => {
      if (error) {
        resolve("");
        return;
      }
      let printed = "";
      channel.on("data", (chunk: Buffer) => {
        if (printed.length < MAX_OUTPUT) printed += chunk.toString("latin1");
      });
      channel.stderr.resume();
      let code: number | null = null;
      channel.on("exit", (status: number | null) => {
        code = status;
      });
      channel.on("close", () => resolve(code === 0 ? printed : ""));
      channel.end();
    });
  });
}
