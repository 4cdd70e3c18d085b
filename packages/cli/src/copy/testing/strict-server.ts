/**
 * An SFTP server on files in memory, behind a link with a round-trip time. All requests that the client sends before it falls
 * silent are one burst, answered together, and each burst counts as one round trip. The server refuses what a client must not do.
 */
import { Duplex } from "node:stream";
import {
  encodeAttributes,
  encodeFields,
  encodePacket,
  type Field,
  FieldReader,
  OPEN,
  REQUEST,
  RESPONSE,
  STATUS,
} from "coder-agent/services/ssh/sftp/codec";
import { MemoryDirectory, MemoryFile, type MemoryNode, type MemoryTree, nameOf, UMASK } from "./memory-tree.ts";

export interface ServerRequest {
  readonly type: number;
  /** Path of the file or directory; for a rename, the old name. */
  readonly path: string;
  readonly offset: number;
}

export interface StrictServerOptions {
  readonly extensions?: readonly string[];
  /** The values of limits@openssh.com: packet, read, write, handles. */
  readonly limits?: readonly [number, number, number, number];
  /** Most bytes in the answer to one read. */
  readonly readBytes?: number;
  readonly shuffled?: boolean;
  /** Bytes that fit on the disk. */
  readonly diskBytes?: number;
  /** Lists entries without their attributes. */
  readonly bareLists?: boolean;
  /** Returns a status to send instead of the answer, or ends the connection. */
  readonly fault?: (request: ServerRequest) => number | "cut" | undefined;
}

export const OPENSSH_EXTENSIONS = ["posix-rename@openssh.com", "fsync@openssh.com", "limits@openssh.com"];
const OPENSSH_LIMITS = [256 * 1024, 261_120, 261_120, 1019] as const;
const BASIC_BYTES = 32 * 1024;
const ENTRIES_PER_LIST = 100;
/** After this many turns of the event loop without a request, the client is taken to wait for answers. */
const SILENT_TURNS = 4;

type Handle =
  | { readonly kind: "file"; readonly path: string; readonly file: MemoryFile; readonly flags: number }
  | { readonly kind: "directory"; readonly path: string; readonly left: [string, MemoryNode][] };

export class StrictServer {
  readonly tree: MemoryTree;
  readonly channel: Duplex;
  readonly #options: StrictServerOptions;
  readonly #handles = new Map<number, Handle>();
  #nextHandle = 1;
  #received = Buffer.alloc(0);
  #burst: Buffer[] = [];
  /** Paths with an unanswered change; no request that replaces files may depend on them. */
  #changing = new Set<string>();
  #silent = 0;
  #cut = false;
  rounds = 0;
  readonly requests: ServerRequest[] = [];
  readonly #counts = new Map<number, number>();
  readonly mostHandles = { files: 0, directories: 0 };
  mostOutstanding = 0;
  /** Requests that a strict server would have refused. */
  readonly violations: string[] = [];

  constructor(tree: MemoryTree, options: StrictServerOptions = {}) {
    this.tree = tree;
    this.#options = options;
    this.channel = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        this.#receive(chunk);
        done();
      },
    });
  }

  /** Handles that are still open after all requests have been answered. */
  async openHandles(): Promise<number> {
    this.#silent = 0;
    while (this.#burst.length > 0 || this.#silent++ <= SILENT_TURNS) await new Promise(setImmediate);
    return this.#handles.size;
  }

  /** Number of requests of this type so far. */
  count(type: number): number {
    return this.#counts.get(type) ?? 0;
  }

  #receive(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const length = this.#received.readUInt32BE();
      if (length > this.#limits[0]) this.violations.push(`a packet of ${length} bytes`);
      if (this.#received.length < 4 + length) return;
      if (this.#burst.length === 0) this.#awaitSilence();
      this.#silent = 0;
      this.#burst.push(Buffer.from(this.#received.subarray(4, 4 + length)));
      this.#received = this.#received.subarray(4 + length);
    }
  }

  get #limits(): readonly [number, number, number, number] {
    if (!this.#extensions.includes("limits@openssh.com")) return [34_000, BASIC_BYTES, BASIC_BYTES, 1019];
    return this.#options.limits ?? OPENSSH_LIMITS;
  }

  get #extensions(): readonly string[] {
    return this.#options.extensions ?? OPENSSH_EXTENSIONS;
  }

  #awaitSilence(): void {
    setImmediate(() => {
      if (this.#silent++ < SILENT_TURNS) this.#awaitSilence();
      else this.#answerBurst();
    });
  }

  #answerBurst(): void {
    const burst = this.#burst;
    this.#burst = [];
    this.#changing.clear();
    this.rounds++;
    this.mostOutstanding = Math.max(this.mostOutstanding, burst.length);
    const answers: Buffer[] = [];
    for (const packet of burst) {
      const answer = this.#answer(packet);
      if (answer === "cut") {
        this.#cut = true;
        break;
      }
      answers.push(answer);
    }
    if (this.#options.shuffled === true) shuffle(answers);
    const bytes = Buffer.concat(answers);
    for (let at = 0; at < bytes.length; at += BASIC_BYTES) this.channel.push(bytes.subarray(at, at + BASIC_BYTES));
    if (this.#cut) this.channel.destroy();
  }

  #answer(packet: Buffer): Buffer | "cut" {
    const reader = new FieldReader(packet);
    const type = reader.u8();
    if (type === REQUEST.init) {
      const names = this.#extensions.flatMap((name) => [{ string: name }, { string: "1" }]);
      return encodePacket(RESPONSE.version, { u32: 3 }, { raw: encodeFields(names) });
    }
    const id = reader.u32();
    const request = this.#look(type, packet);
    this.requests.push(request);
    this.#counts.set(type, this.count(type) + 1);
    const fault = this.#options.fault?.(request);
    if (fault === "cut") return "cut";
    const status = (code: number): Buffer =>
      encodePacket(
        RESPONSE.status,
        { u32: id },
        { u32: code },
        { string: code === 0 ? "" : "Failure" },
        { string: "" },
      );
    if (fault !== undefined) return status(fault);
    const answer = this.#perform(type, request, reader);
    if (typeof answer === "number") return status(answer);
    return encodePacket(answer.type, { u32: id }, ...answer.fields);
  }

  /** Describes the request without executing it. */
  #look(type: number, packet: Buffer): ServerRequest {
    const reader = new FieldReader(packet.subarray(5));
    const name = type === REQUEST.extended ? reader.string().toString() : "";
    const first = reader.string();
    const byHandle =
      [REQUEST.close, REQUEST.read, REQUEST.write, REQUEST.fstat, REQUEST.fsetstat, REQUEST.readdir].includes(
        type as never,
      ) || name.startsWith("fsync");
    const path = byHandle ? (this.#handles.get(handleNumber(first))?.path ?? "") : first.toString();
    const offset = type === REQUEST.read || type === REQUEST.write ? reader.u64() : 0;
    return { type, path, offset };
  }

  #perform(type: number, { path }: ServerRequest, reader: FieldReader): Answer {
    switch (type) {
      case REQUEST.open:
        return this.#open(path, reader);
      case REQUEST.opendir: {
        const found = this.tree.directory(path);
        if (found === undefined) return STATUS.noSuchFile;
        return this.#handle({ kind: "directory", path, left: [...found.children] });
      }
      case REQUEST.stat:
      case REQUEST.lstat: {
        const found = this.tree.find(path, type === REQUEST.lstat);
        return found === undefined ? STATUS.noSuchFile : { type: RESPONSE.attrs, fields: [{ raw: attributes(found) }] };
      }
      case REQUEST.setstat: {
        const found = this.tree.find(path);
        if (found === undefined || found.kind === "link") return STATUS.noSuchFile;
        reader.string();
        found.mode = reader.attributes().mode ?? found.mode;
        return STATUS.ok;
      }
      case REQUEST.realpath:
        return {
          type: RESPONSE.name,
          fields: [{ u32: 1 }, { string: "/" }, { string: "/" }, { raw: Buffer.alloc(4) }],
        };
      case REQUEST.mkdir:
        return this.#makeDirectory(path, reader);
      case REQUEST.remove:
        return this.tree.parent(path)?.children.delete(nameOf(path)) === true ? STATUS.ok : STATUS.noSuchFile;
      case REQUEST.rename:
        reader.string();
        return this.#rename(path, reader.string().toString(), false);
      case REQUEST.extended:
        return this.#extended(path, reader);
      default:
        return this.#withHandle(type, reader);
    }
  }

  #open(path: string, reader: FieldReader): Answer {
    reader.string();
    const flags = reader.u32();
    const { mode } = reader.attributes();
    const parent = this.tree.parent(path);
    if (parent === undefined) return STATUS.noSuchFile;
    let found = this.tree.find(path);
    if (found !== undefined && (flags & OPEN.exclusive) !== 0) return STATUS.failure;
    if (found === undefined && (flags & OPEN.create) !== 0) {
      found = MemoryFile.of("", mode ?? 0o666);
      parent.children.set(nameOf(path), found);
    }
    if (found?.kind !== "file") return found === undefined ? STATUS.noSuchFile : STATUS.failure;
    if ((flags & OPEN.write) !== 0 && (found.mode & 0o200) === 0) return STATUS.permissionDenied;
    return this.#handle({ kind: "file", path, file: found, flags });
  }

  #withHandle(type: number, reader: FieldReader): Answer {
    const number = handleNumber(reader.string());
    const handle = this.#handles.get(number);
    if (handle === undefined) {
      this.violations.push(`request ${type} with a handle that is not open`);
      return STATUS.failure;
    }
    if (type === REQUEST.close) {
      this.#handles.delete(number);
      this.#changing.add(handle.path);
      return STATUS.ok;
    }
    if (handle.kind === "directory") return type === REQUEST.readdir ? this.#list(handle.left) : STATUS.failure;
    if (type === REQUEST.fstat) return { type: RESPONSE.attrs, fields: [{ raw: attributes(handle.file) }] };
    if (type === REQUEST.fsetstat) {
      handle.file.mode = reader.attributes().mode ?? handle.file.mode;
      return STATUS.ok;
    }
    if (type === REQUEST.read) return this.#read(handle.file, reader);
    if (type === REQUEST.write && (handle.flags & OPEN.write) !== 0) return this.#write(handle, reader);
    this.violations.push(`request ${type} on a file`);
    return STATUS.unsupported;
  }

  #read(file: MemoryFile, reader: FieldReader): Answer {
    const [offset, length] = [reader.u64(), reader.u32()];
    if (length > this.#limits[1]) this.violations.push(`a read of ${length} bytes`);
    const bytes = Buffer.alloc(Math.min(length, this.#options.readBytes ?? length));
    const count = file.read(offset, bytes);
    if (count === 0) return STATUS.eof;
    return { type: RESPONSE.data, fields: [{ string: bytes.subarray(0, count) }] };
  }

  #write(handle: Handle & { kind: "file" }, reader: FieldReader): Answer {
    const offset = reader.u64();
    const bytes = reader.string();
    this.#changing.add(handle.path);
    if (reader.failed) this.violations.push("a write that is cut short");
    if (bytes.length > this.#limits[2]) this.violations.push(`a write of ${bytes.length} bytes`);
    if (offset + bytes.length > (this.#options.diskBytes ?? Number.POSITIVE_INFINITY)) return STATUS.failure;
    handle.file.write(offset, bytes);
    handle.file.modifiedMs += 1000;
    return STATUS.ok;
  }

  #list(left: [string, MemoryNode][]): Answer {
    const page = left.splice(0, ENTRIES_PER_LIST);
    if (page.length === 0) return STATUS.eof;
    const fields = page.flatMap(([name, node]): Field[] => [
      { string: name },
      { string: name },
      { raw: this.#options.bareLists === true ? Buffer.alloc(4) : attributes(node) },
    ]);
    return { type: RESPONSE.name, fields: [{ u32: page.length }, ...fields] };
  }

  #makeDirectory(path: string, reader: FieldReader): Answer {
    const parent = this.tree.parent(path);
    if (parent === undefined) return STATUS.noSuchFile;
    if (parent.children.has(nameOf(path))) return STATUS.failure;
    reader.string();
    const made = new MemoryDirectory();
    made.mode = (reader.attributes().mode ?? made.mode) & ~UMASK;
    parent.children.set(nameOf(path), made);
    return STATUS.ok;
  }

  #rename(from: string, to: string, replaces: boolean): Answer {
    if (this.#changing.has(from)) this.violations.push(`${from} was renamed before its changes were acknowledged`);
    const node = this.tree.find(from, true);
    const [source, target] = [this.tree.parent(from), this.tree.parent(to)];
    if (node === undefined || source === undefined || target === undefined) return STATUS.noSuchFile;
    const there = target.children.get(nameOf(to));
    if (there !== undefined && (!replaces || there.kind === "directory")) return STATUS.failure;
    source.children.delete(nameOf(from));
    target.children.set(nameOf(to), node);
    return STATUS.ok;
  }

  #extended(path: string, reader: FieldReader): Answer {
    const name = reader.string().toString();
    if (!this.#extensions.includes(name)) {
      this.violations.push(`${name} is not offered`);
      return STATUS.unsupported;
    }
    if (name === "limits@openssh.com") {
      const bytes = Buffer.alloc(32);
      for (const [index, value] of this.#limits.entries()) bytes.writeBigUInt64BE(BigInt(value), 8 * index);
      return { type: RESPONSE.extended, fields: [{ raw: bytes }] };
    }
    const first = reader.string();
    if (name === "posix-rename@openssh.com") return this.#rename(path, reader.string().toString(), true);
    return this.#handles.has(handleNumber(first)) ? STATUS.ok : STATUS.failure;
  }

  #handle(handle: Handle): Answer {
    if (this.#handles.size >= this.#limits[3]) return STATUS.failure;
    const number = this.#nextHandle++;
    this.#handles.set(number, handle);
    const kinds = [...this.#handles.values()].filter(({ kind }) => kind === "file").length;
    this.mostHandles.files = Math.max(this.mostHandles.files, kinds);
    this.mostHandles.directories = Math.max(this.mostHandles.directories, this.#handles.size - kinds);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(number);
    return { type: RESPONSE.handle, fields: [{ string: bytes }] };
  }
}

type Answer = number | { readonly type: number; readonly fields: Field[] };

function handleNumber(bytes: Buffer): number {
  return bytes.length === 4 ? bytes.readUInt32BE() : -1;
}

const TYPE_BITS = { device: 0o020000, file: 0o100000, directory: 0o040000, link: 0o120000 } as const;

function attributes(node: MemoryNode): Buffer {
  const isFile = node.kind === "file";
  return encodeAttributes({
    size: isFile ? node.size : 0,
    uid: isFile ? node.owner : 0,
    gid: 0,
    mode: TYPE_BITS[node.kind] | (node.kind === "link" ? 0o777 : node.mode),
    atimeMs: 0,
    mtimeMs: isFile ? node.modifiedMs : 0,
  });
}

/** Seeded, so that each run has the same order. */
function shuffle(items: unknown[]): void {
  let seed = 12345;
  for (let i = items.length - 1; i > 0; i--) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    const j = seed % (i + 1);
    [items[i], items[j]] = [items[j], items[i]];
  }
}
