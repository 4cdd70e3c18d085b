/** The files of either side, as far as copying needs them. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Client, SFTPWrapper, Stats } from "ssh2";

export interface FileFacts {
  readonly isDirectory: boolean;
  readonly isFile: boolean;
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
}

export interface FileSystem {
  /** Undefined: there is none. Rejects for anything else. */
  stat(path: string): Promise<FileFacts | undefined>;
  list(path: string): Promise<string[]>;
  /** Fine when it is there. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** SHA-256 of the first bytes, in hex. */
  hash(path: string, bytes: number): Promise<string>;
  openRead(path: string): Promise<ReadableFile>;
  /** For writing from `size` on; what is behind it is cut off. */
  openWrite(path: string, size: number): Promise<WritableFile>;
  chmod(path: string, mode: number): Promise<void>;
  /** Takes the place of what is there. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  join(folder: string, name: string): string;
  baseName(path: string): string;
}

export interface ReadableFile {
  /** Up to `length` bytes at `offset`; fewer at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface WritableFile {
  write(offset: number, bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export class LocalFiles implements FileSystem {
  async stat(path: string): Promise<FileFacts | undefined> {
    try {
      const found = await stat(path);
      return {
        isDirectory: found.isDirectory(),
        isFile: found.isFile(),
        size: found.size,
        mode: found.mode & 0o777,
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  list(path: string): Promise<string[]> {
    return readdir(path);
  }

  async makeDirectory(path: string, mode: number): Promise<void> {
    await mkdir(path, { mode }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
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

  async openRead(path: string): Promise<ReadableFile> {
    const file = await open(path, "r");
    return {
      read: async (offset, length) => {
        const bytes = new Uint8Array(length);
        const { bytesRead } = await file.read(bytes, 0, length, offset);
        return bytes.subarray(0, bytesRead);
      },
      close: () => file.close(),
    };
  }

  async openWrite(path: string, size: number): Promise<WritableFile> {
    const file: FileHandle = await open(path, size === 0 ? "w" : "r+", 0o600);
    await file.truncate(size);
    return {
      write: async (offset, bytes) => {
        for (let at = 0; at < bytes.length; )
          at += (await file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
      },
      close: async () => {
        await file.sync();
        await file.close();
      },
    };
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

/** Of SFTP. */
const END_OF_FILE = 1;
const NO_SUCH_FILE = 2;

/** By SFTP; checksums by a command there where it has one, because reading a file back costs as much as copying it. */
export class RemoteFiles implements FileSystem {
  readonly #client: Client;
  readonly #sftp: SFTPWrapper;
  /** Calls under way: ssh2 forgets them when the connection ends. */
  readonly #pending = new Set<(error: Error) => void>();

  constructor(client: Client, sftp: SFTPWrapper) {
    this.#client = client;
    this.#sftp = sftp;
    client.once("close", () => {
      for (const reject of this.#pending) reject(new Error("the connection to the workspace was lost"));
    });
  }

  static open(client: Client): Promise<RemoteFiles> {
    return new Promise((resolve, reject) => {
      client.sftp((error, sftp) => {
        if (error === undefined || error === null) resolve(new RemoteFiles(client, sftp));
        else reject(error);
      });
    });
  }

  async stat(path: string): Promise<FileFacts | undefined> {
    try {
      const found = await this.#call<Stats>((done) => this.#sftp.stat(path, done));
      return {
        isDirectory: found.isDirectory(),
        isFile: found.isFile(),
        size: found.size,
        mode: found.mode & 0o777,
      };
    } catch (error) {
      if ((error as { code?: unknown }).code === NO_SUCH_FILE) return undefined;
      throw error;
    }
  }

  async list(path: string): Promise<string[]> {
    const entries = await this.#call<{ filename: string }[]>((done) => this.#sftp.readdir(path, done));
    return entries.map(({ filename }) => filename).filter((name) => name !== "." && name !== "..");
  }

  async makeDirectory(path: string, mode: number): Promise<void> {
    try {
      await this.#call<void>((done) => this.#sftp.mkdir(path, { mode } as never, done));
    } catch (error) {
      if ((await this.stat(path))?.isDirectory !== true) throw error;
    }
  }

  async hash(path: string, bytes: number): Promise<string> {
    const quoted = `'${path.replaceAll("'", "'\\''")}'`;
    const said = await this.#exec(`head -c ${bytes} < ${quoted} | sha256sum`);
    const digest = /^([0-9a-f]{64})\b/.exec(said)?.[1];
    if (digest !== undefined) return digest;
    const hash = createHash("sha256");
    const file = await this.openRead(path);
    try {
      for (let at = 0; at < bytes; ) {
        const chunk = await file.read(at, Math.min(32 * 1024, bytes - at));
        if (chunk.length === 0) break;
        hash.update(chunk);
        at += chunk.length;
      }
    } finally {
      await file.close();
    }
    return hash.digest("hex");
  }

  async openRead(path: string): Promise<ReadableFile> {
    const handle = await this.#call<Buffer>((done) => this.#sftp.open(path, "r", done));
    return {
      read: async (offset, length) => {
        const bytes = Buffer.alloc(length);
        let filled = 0;
        while (filled < length) {
          const read = await this.#readOnce(handle, bytes, filled, length - filled, offset + filled);
          if (read === 0) break;
          filled += read;
        }
        return bytes.subarray(0, filled);
      },
      close: () => this.#call<void>((done) => this.#sftp.close(handle, done)),
    };
  }

  async openWrite(path: string, size: number): Promise<WritableFile> {
    const flags = size === 0 ? "w" : "r+";
    const handle = await this.#call<Buffer>((done) => this.#sftp.open(path, flags, { mode: 0o600 } as never, done));
    if (size > 0) await this.#call<void>((done) => this.#sftp.fsetstat(handle, { size } as never, done));
    return {
      write: (offset, bytes) =>
        this.#call<void>((done) => this.#sftp.write(handle, Buffer.from(bytes), 0, bytes.length, offset, done)),
      close: () => this.#call<void>((done) => this.#sftp.close(handle, done)),
    };
  }

  chmod(path: string, mode: number): Promise<void> {
    return this.#call<void>((done) => this.#sftp.chmod(path, mode, done));
  }

  async rename(from: string, to: string): Promise<void> {
    try {
      await this.#call<void>((done) => this.#sftp.ext_openssh_rename(from, to, done));
    } catch (error) {
      if (!/not support|unsupported/i.test(String((error as Error).message))) throw error;
      // Without the extension nothing may be in the way.
      await this.#call<void>((done) => this.#sftp.unlink(to, done)).catch(() => undefined); // the rename says what is wrong
      await this.#call<void>((done) => this.#sftp.rename(from, to, done));
    }
  }

  remove(path: string): Promise<void> {
    return this.#call<void>((done) => this.#sftp.unlink(path, done));
  }

  join(folder: string, name: string): string {
    return folder === "." ? name : `${folder.replace(/\/+$/, "")}/${name}`;
  }

  baseName(path: string): string {
    return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  }

  async #readOnce(handle: Buffer, into: Buffer, at: number, length: number, offset: number): Promise<number> {
    try {
      return await this.#call<number>((done) => this.#sftp.read(handle, into, at, length, offset, done));
    } catch (error) {
      if ((error as { code?: unknown }).code === END_OF_FILE) return 0;
      throw error;
    }
  }

  #call<T>(run: (done: (error?: Error | null, value?: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      run((error, value) => {
        this.#pending.delete(reject);
        if (error === undefined || error === null) resolve(value as T);
        else reject(error);
      });
    });
  }

  /** What a command prints; "" when there is no such command, or it fails. */
  #exec(command: string): Promise<string> {
    return new Promise((resolve) => {
      this.#client.exec(command, (error, channel) => {
        if (error !== undefined && error !== null) {
          resolve("");
          return;
        }
        let said = "";
        channel.on("data", (chunk: Buffer) => {
          said += chunk.toString("latin1");
        });
        channel.stderr.resume();
        let code: number | null = null;
        channel.on("exit", (status: number | null) => {
          code = status;
        });
        channel.on("close", () => resolve(code === 0 ? said : ""));
        channel.end();
      });
    });
  }
}
