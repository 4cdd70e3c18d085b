import { once } from "node:events";
import type { Dir } from "node:fs";
import { constants } from "node:fs";
import {
  type FileHandle,
  link,
  lstat,
  mkdir,
  opendir,
  readlink,
  rename,
  rmdir,
  stat,
  statfs,
  symlink,
  unlink,
} from "node:fs/promises";
import type { Duplex } from "node:stream";
import { orAborted } from "wg-userspace/async/abort";
import type { Logger } from "wg-userspace/base/ports";
import type { ThreadShares } from "../../../host/thread-shares.ts";
import { Accounts } from "./accounts.ts";
import { attributesOf, MESSAGES, NO_ATTRIBUTES, name, status, statusOf, u64s, version, volume } from "./answers.ts";
import {
  encodeAttributes,
  encodeFields,
  encodePacket,
  type Field,
  FieldReader,
  MAX_PACKET_BYTES,
  OPEN,
  REQUEST,
  RESPONSE,
  STATUS,
} from "./codec.ts";
import { SftpFailure } from "./failure.ts";
import { factsOf, join, openFile, realPath, SLASH, unused, writeAll } from "./files.ts";
import { bareLongName, longName } from "./long-name.ts";
import { setAttributes, setFileAttributes, setLinkAttributes } from "./set-attributes.ts";
import { touchedBy } from "./touched.ts";

export interface SftpOptions {
  /** Where relative paths start. */
  readonly home: string;
  /** The client, in whose turn file operations run. */
  readonly client: string;
  readonly threads: Pick<ThreadShares, "onVolumes" | "volumeOf">;
  readonly logger: Logger;
  /** Aborted when the client has left, which the stream may not show before the request under way is answered. */
  readonly left: AbortSignal;
}

/** The number that sshd offers under the usual limit of descriptors. */
const MAX_HANDLES = 1019;
const MAX_READ_BYTES = 255 * 1024;
const ENTRIES_PER_ANSWER = 100;
const MAX_PATH_BYTES = 4096;

/**
 * SFTP for machines without a server of their own. Requests are handled one after the other, and the next is read only when the
 * answer could be written, so a connection holds one packet and at most 1019 open files.
 * @returns The exit status: 0 when the client ended the stream, 1 when it broke the protocol. Open files are closed.
 */
export async function serveSftp(stream: Duplex, options: SftpOptions): Promise<number> {
  const { left } = options;
  const server = new SftpServer(options);
  let buffered: Buffer = Buffer.alloc(0);
  let underWay: Promise<unknown> = Promise.resolve();
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
      while (buffered.length >= 4) {
        const length = buffered.readUInt32BE();
        if (length < 1 || length > MAX_PACKET_BYTES) {
          options.logger.log("debug", "sftp: packet length out of bounds", { length });
          return 1;
        }
        if (buffered.length < 4 + length) break;
        const packet = buffered.subarray(4, 4 + length);
        const answering = server.handle(packet);
        underWay = answering.catch(() => undefined);
        const answer = await orAborted(answering, left);
        buffered = buffered.subarray(4 + length);
        if (answer !== undefined && !stream.write(answer) && !stream.destroyed) {
          await Promise.race([once(stream, "drain"), once(stream, "close")]);
        }
      }
    }
    return 0;
  } catch (error) {
    if (left.aborted && error === left.reason) return 0;
    throw error;
  } finally {
    // The request under way may open a file yet, and an open file that is forgotten ends the process (Node's DEP0137).
    const closed = underWay.then(() => server.close());
    // A file system that does not answer keeps the client's turn, but not its session.
    if (!left.aborted) await closed;
  }
}

type Handle = (
  | { readonly kind: "file"; readonly file: FileHandle; readonly append: boolean }
  | { readonly kind: "directory"; readonly dir: Dir; readonly path: Buffer; readonly own: Buffer[] }
) & {
  /** The file system that it is on, if known. */
  readonly volume: string | undefined;
};

class SftpServer {
  readonly #options: SftpOptions;
  readonly #handles = new Map<number, Handle>();
  #nextHandle = 0;
  #accounts: Promise<Accounts> | undefined;

  constructor(options: SftpOptions) {
    this.#options = options;
  }

  async close(): Promise<void> {
    const open = [...this.#handles.values()];
    this.#handles.clear();
    const closings = open.map(async (handle) => {
      try {
        await this.#closeHandle(handle);
      } catch (error) {
        this.#options.logger.log("debug", "sftp: closing a file failed", { error: String(error) });
      }
    });
    await Promise.all(closings);
  }

  /** Handles one request packet, without its length; borrowed. */
  async handle(packet: Buffer): Promise<Buffer | undefined> {
    const reader = new FieldReader(packet);
    const type = reader.u8();
    if (type === REQUEST.init) return version();
    const id = reader.u32();
    if (reader.failed) return undefined;
    const handle = (): Promise<Buffer> => this.#dispatch(type, id, reader);
    try {
      return ownsTurns(packet) ? await handle() : await this.#inTurn(this.#volumesOf(packet), handle);
    } catch (error) {
      if (this.#options.left.aborted) return undefined; // the answer has no reader
      return statusOf(id, error);
    }
  }

  #inTurn<T>(volumes: readonly (string | undefined)[], operation: () => Promise<T>): Promise<T> {
    return this.#options.threads.onVolumes(this.#options.client, volumes, operation, this.#options.left);
  }

  #volumesOf(packet: Buffer): readonly (string | undefined)[] {
    const { paths, handles } = touchedBy(packet);
    return [
      ...paths.map((path) => this.#options.threads.volumeOf(this.#absolute(path))),
      ...handles.map((handle) => (handle.length === 4 ? this.#handles.get(handle.readUInt32BE())?.volume : undefined)),
    ];
  }

  /** A turn of its own, because a file system may wait when it closes a file. */
  /** Also when the client has left meanwhile: nothing else would close it. */
  async #closeHandle(handle: Handle): Promise<void> {
    const { client, threads } = this.#options;
    const close = (): Promise<void> => (handle.kind === "file" ? handle.file.close() : handle.dir.close());
    await threads.onVolumes(client, [handle.volume], close);
  }

  async #dispatch(type: number, id: number, reader: FieldReader): Promise<Buffer> {
    switch (type) {
      case REQUEST.open:
        return this.#open(id, reader);
      case REQUEST.close:
        return this.#close(id, reader);
      case REQUEST.read:
        return this.#read(id, reader);
      case REQUEST.write:
        return this.#write(id, reader);
      case REQUEST.lstat:
        return attributesOf(id, await lstat(this.#path(reader)));
      case REQUEST.stat:
        return attributesOf(id, await stat(this.#path(reader)));
      case REQUEST.fstat:
        return attributesOf(id, await this.#file(reader).file.stat());
      case REQUEST.setstat:
        await setAttributes(this.#path(reader), complete(reader, reader.attributes()));
        return status(id, STATUS.ok);
      case REQUEST.fsetstat:
        await setFileAttributes(this.#file(reader).file, complete(reader, reader.attributes()));
        return status(id, STATUS.ok);
      case REQUEST.opendir:
        return this.#openDirectory(id, reader);
      case REQUEST.readdir:
        return this.#readDirectory(id, reader);
      case REQUEST.remove:
        await unlink(this.#path(reader));
        return status(id, STATUS.ok);
      case REQUEST.mkdir: {
        const path = this.#path(reader);
        const { mode } = complete(reader, reader.attributes());
        await mkdir(path, mode === undefined ? {} : { mode: mode & 0o7777 });
        return status(id, STATUS.ok);
      }
      case REQUEST.rmdir:
        await rmdir(this.#path(reader));
        return status(id, STATUS.ok);
      case REQUEST.realpath:
        return name(id, await realPath(this.#absolute(pathBytes(reader))));
      case REQUEST.rename:
        return this.#rename(id, reader);
      case REQUEST.readlink:
        return name(id, await readlink(this.#path(reader), { encoding: "buffer" }));
      case REQUEST.symlink: {
        // OpenSSH sends the target first, contrary to the draft; every client follows it.
        const target = named(Buffer.from(pathBytes(reader)));
        await symlink(target, this.#path(reader));
        return status(id, STATUS.ok);
      }
      case REQUEST.extended:
        return this.#extended(id, reader);
      default:
        return status(id, STATUS.unsupported);
    }
  }

  async #open(id: number, reader: FieldReader): Promise<Buffer> {
    const path = this.#path(reader);
    const flags = reader.u32();
    const { mode } = complete(reader, reader.attributes());
    this.#reserve();
    const file = await openFile(path, openFlags(flags), mode === undefined ? 0o666 : mode & 0o7777);
    const volume = this.#options.threads.volumeOf(path);
    return this.#handleAnswer(id, { kind: "file", file, append: (flags & OPEN.append) !== 0, volume });
  }

  async #openDirectory(id: number, reader: FieldReader): Promise<Buffer> {
    const path = this.#path(reader);
    this.#reserve();
    // The types allow names only as text; the encoding option makes them bytes.
    const dir = await opendir(path as unknown as string, { encoding: "buffer" as BufferEncoding });
    const volume = this.#options.threads.volumeOf(path);
    return this.#handleAnswer(id, { kind: "directory", dir, path, own: [Buffer.from("."), Buffer.from("..")], volume });
  }

  async #close(id: number, reader: FieldReader): Promise<Buffer> {
    const number = handleNumber(reader);
    const handle = this.#handles.get(number);
    if (handle === undefined) throw new SftpFailure(STATUS.failure, "no such handle");
    this.#handles.delete(number);
    await this.#closeHandle(handle);
    return status(id, STATUS.ok);
  }

  async #read(id: number, reader: FieldReader): Promise<Buffer> {
    const { file } = this.#file(reader);
    const offset = reader.u64();
    const length = complete(reader, Math.min(reader.u32(), MAX_READ_BYTES));
    const packet = Buffer.allocUnsafe(DATA_HEAD_BYTES + length);
    const { bytesRead } = await file.read(packet, DATA_HEAD_BYTES, length, offset);
    if (bytesRead === 0 && length > 0) return status(id, STATUS.eof);
    packet.writeUInt32BE(DATA_HEAD_BYTES - 4 + bytesRead, 0);
    packet.writeUInt8(RESPONSE.data, 4);
    packet.writeUInt32BE(id, 5);
    packet.writeUInt32BE(bytesRead, 9);
    return packet.subarray(0, DATA_HEAD_BYTES + bytesRead);
  }

  async #write(id: number, reader: FieldReader): Promise<Buffer> {
    const { file, append } = this.#file(reader);
    const offset = reader.u64();
    const data = complete(reader, reader.string());
    await writeAll(file, data, append ? undefined : offset);
    return status(id, STATUS.ok);
  }

  async #readDirectory(id: number, reader: FieldReader): Promise<Buffer> {
    const handle = this.#handles.get(handleNumber(reader));
    if (handle?.kind !== "directory") throw new SftpFailure(STATUS.failure, "not an open directory");
    const entries: Field[] = [];
    let count = 0;
    while (count < ENTRIES_PER_ANSWER) {
      const entryName = handle.own.shift() ?? (await this.#inTurn([handle.volume], () => nextEntry(handle.dir)));
      if (entryName === undefined) break;
      const path = join(handle.path, entryName);
      // Another file system may be mounted there.
      const facts = await this.#inTurn([this.#options.threads.volumeOf(path)], () => factsOf(path));
      if (facts === "missing") continue; // removed after it was listed
      count++;
      // A name is no secret of those who can list it, so one that cannot be looked at is in the list, without attributes.
      if (facts === undefined)
        entries.push({ string: entryName }, { string: bareLongName(entryName) }, { raw: NO_ATTRIBUTES });
      else
        entries.push(
          { string: entryName },
          { string: longName(entryName, facts, await this.#names()) },
          { raw: encodeAttributes(facts) },
        );
    }
    if (count === 0) return status(id, STATUS.eof);
    return encodePacket(RESPONSE.name, { u32: id }, { u32: count }, ...entries);
  }

  /** Version 3 forbids replacing, so this links, then unlinks, as OpenSSH does; on file systems without links it checks first. */
  async #rename(id: number, reader: FieldReader): Promise<Buffer> {
    const from = this.#path(reader);
    const to = this.#path(reader);
    if ((await lstat(from)).isFile()) {
      try {
        await link(from, to);
        await unlink(from);
        return status(id, STATUS.ok);
      } catch (error) {
        if (!NO_HARD_LINKS.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
      }
    }
    await rename(from, await unused(to));
    return status(id, STATUS.ok);
  }

  async #extended(id: number, reader: FieldReader): Promise<Buffer> {
    switch (reader.string().toString("latin1")) {
      case "posix-rename@openssh.com":
        await rename(this.#path(reader), this.#path(reader));
        return status(id, STATUS.ok);
      case "hardlink@openssh.com":
        await link(this.#path(reader), this.#path(reader));
        return status(id, STATUS.ok);
      case "fsync@openssh.com":
        await this.#file(reader).file.sync();
        return status(id, STATUS.ok);
      case "lsetstat@openssh.com":
        await setLinkAttributes(this.#path(reader), complete(reader, reader.attributes()));
        return status(id, STATUS.ok);
      case "statvfs@openssh.com":
        return volume(id, await statfs(this.#path(reader)));
      case "fstatvfs@openssh.com":
        // Node reads these facts by name only; this name refers to the open file, even if its own name is gone.
        return volume(id, await statfs(`/proc/self/fd/${this.#file(reader).file.fd}`));
      case "limits@openssh.com": {
        const limits = [MAX_PACKET_BYTES, MAX_READ_BYTES, MAX_READ_BYTES, MAX_HANDLES];
        return encodePacket(RESPONSE.extended, { u32: id }, { raw: u64s(limits) });
      }
      case "expand-path@openssh.com":
        return name(id, await realPath(this.#expand(reader)));
      case "home-directory":
        return this.#homeDirectory(id, reader);
      case "users-groups-by-id@openssh.com":
        return this.#namesOf(id, reader);
      case "copy-data":
        return this.#copyData(id, reader);
      default:
        return status(id, STATUS.unsupported);
    }
  }

  #names(): Promise<Accounts> {
    this.#accounts ??= Accounts.read().catch((error: unknown) => {
      this.#options.logger.log("debug", "sftp: names of accounts cannot be read", { error: String(error) });
      this.#accounts = undefined;
      return Accounts.parse("", ""); // numbers serve as well
    });
    return this.#accounts;
  }

  /** The user's own for an empty name. */
  async #homeDirectory(id: number, reader: FieldReader): Promise<Buffer> {
    const user = complete(reader, reader.string()).toString();
    const home = user === "" ? this.#options.home : (await this.#names()).homeOf(user);
    if (home === undefined) throw new SftpFailure(STATUS.noSuchFile, "no such user");
    return name(id, Buffer.from(home));
  }

  /** An unknown number has an empty name. */
  async #namesOf(id: number, reader: FieldReader): Promise<Buffer> {
    const users = numbers(reader.string());
    const groups = complete(reader, numbers(reader.string()));
    const accounts = await this.#names();
    const list = (names: readonly (string | undefined)[]): Field => ({
      string: encodeFields(names.map((each) => ({ string: each ?? "" }))),
    });
    return encodePacket(
      RESPONSE.extended,
      { u32: id },
      list(users.map((uid) => accounts.user(uid))),
      list(groups.map((gid) => accounts.group(gid))),
    );
  }

  /** Copies from one open file to another; a length of 0 means up to its end. Ends early when the client has left. */
  async #copyData(id: number, reader: FieldReader): Promise<Buffer> {
    const { file: from, volume: first } = this.#file(reader);
    let position = reader.u64();
    const length = reader.u64();
    const { file: to, append, volume: second } = this.#file(reader);
    let target = complete(reader, reader.u64());
    const source = await this.#inTurn([first], () => from.stat());
    const destination = await this.#inTurn([second], () => to.stat());
    if (source.dev === destination.dev && source.ino === destination.ino)
      throw new SftpFailure(STATUS.failure, "a file is not copied into itself");
    if (!source.isFile()) throw new SftpFailure(STATUS.failure, "only regular files are copied");
    const block = Buffer.allocUnsafe(MAX_READ_BYTES);
    for (let left = length === 0 ? Number.POSITIVE_INFINITY : length; left > 0 && !this.#options.left.aborted; ) {
      // A turn for each block, so that others need not wait for the whole file.
      const copied = await this.#inTurn([first, second], async () => {
        const { bytesRead } = await from.read(block, 0, Math.min(block.length, left), position);
        if (bytesRead > 0) await writeAll(to, block.subarray(0, bytesRead), append ? undefined : target);
        return bytesRead;
      });
      if (copied === 0) break;
      position += copied;
      target += copied;
      left -= copied;
    }
    return status(id, STATUS.ok);
  }

  #path(reader: FieldReader): Buffer {
    return this.#absolute(named(pathBytes(reader)));
  }

  #absolute(path: Buffer): Buffer {
    return path[0] === SLASH ? Buffer.from(path) : join(Buffer.from(this.#options.home), path);
  }

  /** `~` and `~/…` are the home directory; those of other users are not looked up. */
  #expand(reader: FieldReader): Buffer {
    const path = pathBytes(reader);
    if (path[0] === SLASH) return Buffer.from(path);
    if (path[0] !== TILDE) return join(Buffer.from(this.#options.home), path);
    if (path.length > 1 && path[1] !== SLASH) throw new SftpFailure(STATUS.noSuchFile, "only ~ itself is expanded");
    return join(Buffer.from(this.#options.home), path.subarray(2));
  }

  #file(reader: FieldReader): Extract<Handle, { kind: "file" }> {
    const handle = this.#handles.get(handleNumber(reader));
    if (handle?.kind !== "file") throw new SftpFailure(STATUS.failure, "not an open file");
    return handle;
  }

  #reserve(): void {
    if (this.#handles.size >= MAX_HANDLES) throw new SftpFailure(STATUS.failure, "too many open files");
  }

  #handleAnswer(id: number, handle: Handle): Buffer {
    const number = this.#nextHandle;
    this.#nextHandle = (number + 1) >>> 0;
    this.#handles.set(number, handle);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number);
    return encodePacket(RESPONSE.handle, { u32: id }, { string: bytes });
  }
}

/** Requests that consist of many operations take a turn for each, so that others go on meanwhile. */
function ownsTurns(packet: Buffer): boolean {
  const type = packet[0];
  // An answer from tables, and the closing of a file, take turns where they need them.
  if (type === REQUEST.readdir || type === REQUEST.close) return true;
  if (type !== REQUEST.extended) return false;
  const reader = new FieldReader(packet.subarray(5));
  return reader.string().toString("latin1") === "copy-data";
}

const TILDE = 0x7e;
/** Length, type, id, data length. */
const DATA_HEAD_BYTES = 13;
const NO_HARD_LINKS = new Set(["EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK", "EXDEV"]);

/** Throws if the packet's fields ran past its end, before anything is done with them. */
function complete<T>(reader: FieldReader, value: T): T {
  if (reader.failed) throw new SftpFailure(STATUS.badMessage, MESSAGES[STATUS.badMessage]);
  return value;
}

function pathBytes(reader: FieldReader): Buffer {
  const path = complete(reader, reader.string());
  if (path.length > MAX_PATH_BYTES || path.includes(0)) throw new SftpFailure(STATUS.failure, "bad path");
  return path;
}

/** Only for REALPATH is the empty path the directory where relative ones start. */
function named(path: Buffer): Buffer {
  if (path.length === 0) throw new SftpFailure(STATUS.noSuchFile, MESSAGES[STATUS.noSuchFile]);
  return path;
}

function handleNumber(reader: FieldReader): number {
  const bytes = complete(reader, reader.string());
  if (bytes.length !== 4) throw new SftpFailure(STATUS.failure, "no such handle");
  return bytes.readUInt32BE();
}

function openFlags(flags: number): number {
  const access =
    flags & OPEN.read && flags & OPEN.write
      ? constants.O_RDWR
      : flags & OPEN.write
        ? constants.O_WRONLY
        : constants.O_RDONLY;
  return (
    access |
    (flags & OPEN.append ? constants.O_APPEND : 0) |
    (flags & OPEN.create ? constants.O_CREAT : 0) |
    (flags & OPEN.truncate ? constants.O_TRUNC : 0) |
    (flags & OPEN.exclusive ? constants.O_EXCL : 0)
  );
}

/** A string of 32-bit numbers. */
function numbers(bytes: Buffer): readonly number[] {
  if (bytes.length % 4 !== 0) throw new SftpFailure(STATUS.badMessage, MESSAGES[STATUS.badMessage]);
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32BE(4 * index));
}

/** Node omits "." and "..". */
async function nextEntry(dir: Dir): Promise<Buffer | undefined> {
  return (await dir.read())?.name as unknown as Buffer | undefined;
}
