/**
 * SFTP version 3 (draft-ietf-secsh-filexfer-02), the version that every client speaks:
 * u32 length ‖ u8 type ‖ u32 request id ‖ fields. Strings are u32 length ‖ bytes; paths are bytes, not text.
 */
export const REQUEST = {
  init: 1,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  extended: 200,
} as const;

export const RESPONSE = {
  version: 2,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 201,
} as const;

export const STATUS = {
  ok: 0,
  eof: 1,
  noSuchFile: 2,
  permissionDenied: 3,
  failure: 4,
  badMessage: 5,
  unsupported: 8,
} as const;
export type Status = (typeof STATUS)[keyof typeof STATUS];

export const OPEN = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;

const ATTR = { size: 1, owner: 2, permissions: 4, times: 8, extended: 0x8000_0000 } as const;

/** Largest packet accepted, as in OpenSSH. */
export const MAX_PACKET_BYTES = 256 * 1024;
const MAX_EXTENDED_ATTRIBUTES = 64;

export interface Attributes {
  readonly size?: number | undefined;
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  readonly mode?: number | undefined;
  /** Seconds since 1970. */
  readonly times?: { readonly accessed: number; readonly modified: number } | undefined;
}

/** Reads fields. Running past the end sets {@link failed} and yields zeros and empty strings. */
export class FieldReader {
  readonly #bytes: Buffer;
  #offset = 0;
  failed = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  u8(): number {
    return this.#take(1)?.readUInt8() ?? 0;
  }

  u32(): number {
    return this.#take(4)?.readUInt32BE() ?? 0;
  }

  /** The next u32, which stays the next field. */
  peekU32(): number {
    const offset = this.#offset;
    const value = this.u32();
    this.#offset = offset;
    return value;
  }

  /** File offsets and sizes; fails beyond 2^53 - 1, which no file reaches. */
  u64(): number {
    const value = this.#take(8)?.readBigUInt64BE() ?? 0n;
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.failed = true;
    return this.failed ? 0 : Number(value);
  }

  /** The result aliases the packet. */
  string(): Buffer {
    return this.#take(this.u32()) ?? EMPTY;
  }

  attributes(): Attributes {
    const flags = this.u32();
    const size = flags & ATTR.size ? this.u64() : undefined;
    const owner = flags & ATTR.owner ? { uid: this.u32(), gid: this.u32() } : undefined;
    const mode = flags & ATTR.permissions ? this.u32() : undefined;
    const times = flags & ATTR.times ? { accessed: this.u32(), modified: this.u32() } : undefined;
    if (flags & ATTR.extended) {
      const count = this.u32();
      if (count > MAX_EXTENDED_ATTRIBUTES) this.failed = true;
      for (let i = 0; i < count && !this.failed; i++) {
        this.string();
        this.string();
      }
    }
    return { size, owner, mode, times };
  }

  #take(length: number): Buffer | undefined {
    if (this.failed || this.#bytes.length - this.#offset < length) {
      this.failed = true;
      return undefined;
    }
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }
}

export type Field = { readonly u32: number } | { readonly string: string | Buffer } | { readonly raw: Buffer };

export function encodePacket(type: number, ...fields: readonly Field[]): Buffer {
  const body = encodeFields(fields);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length + 1, 0);
  head.writeUInt8(type, 4);
  return Buffer.concat([head, body]);
}

export function encodeFields(fields: readonly Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap((field) => {
      if ("u32" in field) return [u32(field.u32)];
      if ("raw" in field) return [field.raw];
      const bytes = typeof field.string === "string" ? Buffer.from(field.string, "utf8") : field.string;
      return [u32(bytes.length), bytes];
    }),
  );
}

/** The file attributes in every answer. */
export interface FileFacts {
  readonly size: number;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
}

export function encodeAttributes(facts: FileFacts): Buffer {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32BE(ATTR.size | ATTR.owner | ATTR.permissions | ATTR.times, 0);
  bytes.writeBigUInt64BE(BigInt(Math.max(0, Math.trunc(facts.size))), 4);
  bytes.writeUInt32BE(facts.uid >>> 0, 12);
  bytes.writeUInt32BE(facts.gid >>> 0, 16);
  bytes.writeUInt32BE(facts.mode >>> 0, 20);
  bytes.writeUInt32BE(seconds(facts.atimeMs), 24);
  bytes.writeUInt32BE(seconds(facts.mtimeMs), 28);
  return bytes;
}

/** Encodes only the permissions, or nothing: what OPEN, MKDIR and the SETSTATs set. */
export function encodeMode(mode?: number): Buffer {
  return mode === undefined ? u32(0) : Buffer.concat([u32(ATTR.permissions), u32(mode)]);
}

const EMPTY = Buffer.alloc(0);

/** The protocol has 32 bits: dates before 1970 and after 2106 are clamped. */
function seconds(ms: number): number {
  return Math.min(Math.max(Math.floor(ms / 1000), 0), 0xffff_ffff);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
