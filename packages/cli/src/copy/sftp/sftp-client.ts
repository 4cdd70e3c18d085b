/**
 * A client of SFTP version 3 (draft-ietf-secsh-filexfer-02) on a channel. Every call sends its request before it returns, so
 * consecutive calls reach the server in order without waiting; answers may come in any order.
 */
import type { Duplex } from "node:stream";
import {
  type Attributes,
  encodeMode,
  encodePacket,
  type Field,
  FieldReader,
  REQUEST,
  RESPONSE,
  STATUS,
} from "coder-agent/services/ssh/sftp/codec";
import { AnswerParser } from "./answer-parser.ts";

/** The server answered a request with this status. */
export class SftpError extends Error {
  override readonly name = "SftpError";
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The limits that OpenSSH states with `limits@openssh.com`; until then, those that every server accepts. */
export interface SftpLimits {
  readonly readBytes: number;
  readonly writeBytes: number;
  /** 0 when it is unknown. */
  readonly openHandles: number;
}

export interface SftpEntry {
  readonly name: string;
  readonly attributes: Attributes;
}

export type SftpHandle = Buffer;

type Answer =
  | { readonly type: "data"; readonly length: number }
  | { readonly type: "packet"; readonly code: number; readonly reader: FieldReader };

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  /** For a read, where its data goes. */
  readonly target: Uint8Array | undefined;
}

const VERSION = 3;
const READY_TIMEOUT_MS = 60_000;
const SMALLEST_LIMIT = 4096;
const DEFAULT_LIMITS: SftpLimits = { readBytes: 32 * 1024, writeBytes: 32 * 1024, openHandles: 0 };
/** Written data up to this size is copied after its header, so that many requests share one SSH packet. */
const COPIED_BYTES = 16 * 1024;
const MAX_HANDLE_BYTES = 256;
const MAX_EXTENSIONS = 128;

export class SftpClient {
  readonly #channel: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #extensions = new Set<string>();
  #limits = DEFAULT_LIMITS;
  #nextId = 0;
  #outgoing: Uint8Array[] = [];
  #failure: Error | undefined;
  #onVersion: ((error?: Error) => void) | undefined;

  /** Resolves when the server has sent its version. Owns the channel. */
  static async open(channel: Duplex): Promise<SftpClient> {
    const client = new SftpClient(channel);
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        client.#onVersion = (error) => (error === undefined ? resolve() : reject(error));
        timer = setTimeout(() => client.fail(new Error("the SFTP server does not answer")), READY_TIMEOUT_MS);
        channel.write(encodePacket(REQUEST.init, { u32: VERSION }));
      });
    } finally {
      clearTimeout(timer);
      client.#onVersion = undefined;
    }
    if (client.offers("limits@openssh.com")) client.#askLimits();
    return client;
  }

  private constructor(channel: Duplex) {
    this.#channel = channel;
    const parser = new AnswerParser({
      target: (id, length) => this.#target(id, length),
      data: (id, length) => this.#take(id).resolve({ type: "data", length }),
      answer: (type, id, body) => this.#answer(type, id, body),
    });
    channel.on("data", (chunk: Buffer) => {
      if (this.#failure !== undefined) return;
      try {
        parser.push(chunk);
      } catch (error) {
        this.fail(new Error(`the SFTP server broke the protocol: ${(error as Error).message}`, { cause: error }));
      }
    });
    const ended = (): void => this.fail(new Error("the SFTP server of the workspace ended"));
    channel.once("end", ended);
    channel.once("close", ended);
    channel.on("error", (error: Error) => this.fail(error));
  }

  get limits(): SftpLimits {
    return this.#limits;
  }

  offers(extension: string): boolean {
    return this.#extensions.has(extension);
  }

  /** The server answered a longer read with this many bytes although more followed, so later reads ask for no more. */
  learnReadLimit(bytes: number): void {
    this.#limits = { ...this.#limits, readBytes: Math.max(bytes, SMALLEST_LIMIT) };
  }

  /** Rejects all pending and later requests with this error, unless an earlier failure does so already. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#outgoing = [];
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#onVersion?.(error);
    this.#channel.destroy();
  }

  /** @param flags Flags of `OPEN`, ORed. */
  open(path: string, flags: number, mode?: number): Promise<SftpHandle> {
    const attributes = encodeMode(mode);
    return this.#request(REQUEST.open, [{ string: path }, { u32: flags }, { raw: attributes }]).then(handleOf);
  }

  close(handle: SftpHandle): Promise<void> {
    return this.#command(REQUEST.close, [{ string: handle }]);
  }

  /** Resolves with the number of bytes read, 0 at the end of the file. `target` must not be used until then. */
  async read(handle: SftpHandle, offset: number, target: Uint8Array): Promise<number> {
    const fields: Field[] = [{ string: handle }, { raw: u64(offset) }, { u32: target.length }];
    const answer = await this.#request(REQUEST.read, fields, target);
    if (answer.type === "data") return answer.length;
    if (statusOf(answer) === STATUS.eof) return 0;
    throw unexpected(answer);
  }

  /** `bytes` must not change until it resolves. */
  write(handle: SftpHandle, offset: number, bytes: Uint8Array): Promise<void> {
    const fields: Field[] = [{ string: handle }, { raw: u64(offset) }, { u32: bytes.length }];
    return this.#request(REQUEST.write, fields, undefined, bytes).then(expectOk);
  }

  /** Follows links. */
  stat(path: string): Promise<Attributes> {
    return this.#request(REQUEST.stat, [{ string: path }]).then(attributesOf);
  }

  lstat(path: string): Promise<Attributes> {
    return this.#request(REQUEST.lstat, [{ string: path }]).then(attributesOf);
  }

  fstat(handle: SftpHandle): Promise<Attributes> {
    return this.#request(REQUEST.fstat, [{ string: handle }]).then(attributesOf);
  }

  setMode(path: string, mode: number): Promise<void> {
    return this.#command(REQUEST.setstat, [{ string: path }, { raw: encodeMode(mode) }]);
  }

  setFileMode(handle: SftpHandle, mode: number): Promise<void> {
    return this.#command(REQUEST.fsetstat, [{ string: handle }, { raw: encodeMode(mode) }]);
  }

  openDirectory(path: string): Promise<SftpHandle> {
    return this.#request(REQUEST.opendir, [{ string: path }]).then(handleOf);
  }

  /** The next entries; undefined after the last one. */
  async readDirectory(handle: SftpHandle): Promise<SftpEntry[] | undefined> {
    const answer = await this.#request(REQUEST.readdir, [{ string: handle }]);
    if (statusOf(answer) === STATUS.eof) return undefined;
    const reader = readerOf(answer, RESPONSE.name);
    const entries: SftpEntry[] = [];
    for (let left = reader.u32(); left > 0 && !reader.failed; left--) {
      const name = reader.string().toString("utf8");
      reader.string(); // a line for people
      entries.push({ name, attributes: reader.attributes() });
    }
    if (reader.failed) throw new Error("the SFTP server sent a list that is cut short");
    return entries;
  }

  /** The absolute path, with links resolved where the server does so. */
  async realPath(path: string): Promise<string> {
    const reader = readerOf(await this.#request(REQUEST.realpath, [{ string: path }]), RESPONSE.name);
    const count = reader.u32();
    const name = reader.string().toString("utf8");
    if (reader.failed || count !== 1) throw new Error("the SFTP server sent a malformed absolute path");
    return name;
  }

  makeDirectory(path: string, mode: number): Promise<void> {
    return this.#command(REQUEST.mkdir, [{ string: path }, { raw: encodeMode(mode) }]);
  }

  remove(path: string): Promise<void> {
    return this.#command(REQUEST.remove, [{ string: path }]);
  }

  /** Fails when the new name exists. */
  rename(from: string, to: string): Promise<void> {
    return this.#command(REQUEST.rename, [{ string: from }, { string: to }]);
  }

  /** Replaces a file that has the new name: `posix-rename@openssh.com`. */
  replace(from: string, to: string): Promise<void> {
    return this.#command(REQUEST.extended, [{ string: "posix-rename@openssh.com" }, { string: from }, { string: to }]);
  }

  /** `fsync@openssh.com` */
  sync(handle: SftpHandle): Promise<void> {
    return this.#command(REQUEST.extended, [{ string: "fsync@openssh.com" }, { string: handle }]);
  }

  #askLimits(): void {
    this.#request(REQUEST.extended, [{ string: "limits@openssh.com" }])
      .then((answer) => {
        const reader = readerOf(answer, RESPONSE.extended);
        const [, readBytes, writeBytes, openHandles] = [reader.u64(), reader.u64(), reader.u64(), reader.u64()];
        if (reader.failed) return;
        this.#limits = {
          readBytes: Math.max(readBytes || DEFAULT_LIMITS.readBytes, SMALLEST_LIMIT),
          writeBytes: Math.max(writeBytes || DEFAULT_LIMITS.writeBytes, SMALLEST_LIMIT),
          openHandles,
        };
      })
      .catch(() => undefined); // the default limits stay; a lost connection rejects the pending requests
  }

  #command(type: number, fields: readonly Field[]): Promise<void> {
    return this.#request(type, fields).then(expectOk);
  }

  #request(type: number, fields: readonly Field[], target?: Uint8Array, data?: Uint8Array): Promise<Answer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0;
    const head = encodePacket(type, { u32: id }, ...fields);
    if (this.#outgoing.length === 0) setImmediate(this.#flush);
    if (data === undefined) {
      this.#outgoing.push(head);
    } else {
      head.writeUInt32BE(head.length - 4 + data.length, 0);
      this.#outgoing.push(head, data);
    }
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject, target }));
  }

  /** Requests made in one turn of the event loop are sent together. */
  readonly #flush = (): void => {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    let small: Uint8Array[] = [];
    const writeSmall = (): void => {
      if (small.length > 0) this.#channel.write(small.length === 1 ? small[0] : Buffer.concat(small));
      small = [];
    };
    for (const bytes of outgoing) {
      if (bytes.length <= COPIED_BYTES) {
        small.push(bytes);
      } else {
        writeSmall();
        this.#channel.write(bytes);
      }
    }
    writeSmall();
  };

  #target(id: number, length: number): Uint8Array {
    const target = this.#pending.get(id)?.target;
    if (target === undefined) throw new Error("data that was not requested");
    if (length > target.length) throw new Error("more data than was requested");
    return target;
  }

  #take(id: number): Pending {
    const pending = this.#pending.get(id);
    if (pending === undefined) throw new Error("an answer to no request");
    this.#pending.delete(id);
    return pending;
  }

  #answer(type: number, id: number, body: Buffer): void {
    const reader = new FieldReader(body);
    if (type !== RESPONSE.version) this.#take(id).resolve({ type: "packet", code: type, reader });
    else if (this.#onVersion !== undefined) this.#version(id, reader, body.length);
    else throw new Error("a second version");
  }

  #version(version: number, reader: FieldReader, length: number): void {
    if (version !== VERSION) throw new Error(`version ${version}`);
    let left = length;
    while (left > 0 && this.#extensions.size < MAX_EXTENSIONS) {
      const [name, value] = [reader.string(), reader.string()];
      if (reader.failed) throw new Error("a list of extensions that is cut short");
      left -= 8 + name.length + value.length;
      this.#extensions.add(name.toString("latin1"));
    }
    this.#onVersion?.();
  }
}

/** The code of a status answer, which {@link unexpected} can read again; undefined for another kind of answer. */
function statusOf(answer: Answer): number | undefined {
  if (answer.type !== "packet" || answer.code !== RESPONSE.status) return undefined;
  return answer.reader.peekU32();
}

function unexpected(answer: Answer): Error {
  if (answer.type === "data" || answer.code !== RESPONSE.status)
    return new Error("the SFTP server sent an unexpected kind of answer");
  const code = answer.reader.u32();
  if (answer.reader.failed || code === STATUS.ok) return new Error("the SFTP server sent a status without meaning");
  const message = answer.reader.string().toString("utf8");
  return new SftpError(code, message === "" ? `status ${code}` : message);
}

function expectOk(answer: Answer): void {
  if (statusOf(answer) !== STATUS.ok) throw unexpected(answer);
}

function readerOf(answer: Answer, code: number): FieldReader {
  if (answer.type !== "packet" || answer.code !== code) throw unexpected(answer);
  return answer.reader;
}

function handleOf(answer: Answer): SftpHandle {
  const reader = readerOf(answer, RESPONSE.handle);
  const handle = reader.string();
  if (reader.failed || handle.length > MAX_HANDLE_BYTES) throw new Error("the SFTP server sent a malformed handle");
  return handle;
}

function attributesOf(answer: Answer): Attributes {
  const reader = readerOf(answer, RESPONSE.attrs);
  const attributes = reader.attributes();
  if (reader.failed) throw new Error("the SFTP server sent attributes that are cut short");
  return attributes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
