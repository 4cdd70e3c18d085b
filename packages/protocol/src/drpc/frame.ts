/**
 * dRPC frames (storj/drpc, package drpcwire):
 *
 *     control(u8) ‖ varint stream id ‖ varint message id ‖ varint data length ‖ data
 *
 * control: bit 0 last frame of the packet, bits 1–6 kind, bit 7 control packet. A packet is one or more frames with the same
 * ids and kind. Varints are LEB128 of 64 bits; values above 2^53-1 do not occur and are refused.
 */
import { getTextEncoding } from "@bufbuild/protobuf/wire";
import type { ByteQueue } from "../yamux/byte-queue.ts";

export const PacketKind = {
  invoke: 1,
  message: 2,
  error: 3,
  cancel: 4,
  close: 5,
  closeSend: 6,
  invokeMetadata: 7,
} as const;
export type PacketKind = (typeof PacketKind)[keyof typeof PacketKind];

/** Go splits packets at this much data per frame. */
export const MAX_FRAME_DATA_BYTES = 64 * 1024;
/** Go's limit for a reassembled packet. */
export const MAX_PACKET_BYTES = 4 * 1024 * 1024;

const LAST_FRAME = 1;
const CONTROL_PACKET = 0x80;
const MAX_VARINT_BYTES = 10;
const MAX_ERROR_TEXT_BYTES = 8 * 1024;

export interface Packet {
  readonly kind: PacketKind;
  readonly streamId: number;
  readonly messageId: number;
  /** Owned by the reader of the packet. */
  readonly data: Uint8Array;
}

/** Memory for unfinished packets, shared by the calls of one session. */
export interface ReassemblyBudget {
  usedBytes: number;
  readonly limitBytes: number;
}

/** Appends the frames of one packet. @param data Borrowed. */
export function writePacket(
  out: ByteQueue,
  kind: PacketKind,
  streamId: number,
  messageId: number,
  data: Uint8Array,
): void {
  let at = 0;
  do {
    const piece = data.subarray(at, at + MAX_FRAME_DATA_BYTES);
    at += piece.length;
    const header = [
      (kind << 1) | (at === data.length ? LAST_FRAME : 0) | (kind === PacketKind.cancel ? CONTROL_PACKET : 0),
    ];
    pushVarint(header, streamId);
    pushVarint(header, messageId);
    pushVarint(header, piece.length);
    out.append(Uint8Array.from(header));
    out.append(piece);
  } while (at < data.length);
}

/** Data of an Error packet: u64 BE code ‖ UTF-8 text. */
export function encodeError(code: number, text: string): Uint8Array {
  const encoded = getTextEncoding().encodeUtf8(text).subarray(0, MAX_ERROR_TEXT_BYTES);
  const data = new Uint8Array(8 + encoded.length);
  const value = BigInt(Math.max(0, Math.trunc(code)));
  for (let i = 0; i < 8; i++) data[i] = Number((value >> BigInt(8 * (7 - i))) & 0xffn);
  data.set(encoded, 8);
  return data;
}

/** Never fails: data without a code is text with code 0, invalid UTF-8 is replaced, long text is cut. */
export function decodeError(data: Uint8Array): { readonly code: number; readonly text: string } {
  let code = 0;
  const hasCode = data.length >= 8;
  if (hasCode) for (let i = 0; i < 8; i++) code = code * 256 + data[i]!;
  return { code, text: decodeText(data.subarray(hasCode ? 8 : 0)) };
}

export function encodeText(text: string): Uint8Array {
  return getTextEncoding().encodeUtf8(text);
}

/** At most 8 KiB of UTF-8; invalid bytes are replaced. */
export function decodeText(data: Uint8Array): string {
  return getTextEncoding().decodeUtf8(data.subarray(0, MAX_ERROR_TEXT_BYTES));
}

function pushVarint(out: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
}

type Field = "control" | "stream id" | "message id" | "length" | "data";

/**
 * Reads packets from a byte stream, on demand: pass it a chunk when wantsInput, then call next() until it returns
 * undefined. It holds one chunk and one unfinished packet, whose buffer grows with the received data, not with the
 * announced length.
 */
export class PacketReader {
  readonly #maxPacketBytes: number;
  readonly #budget: ReassemblyBudget;
  #chunk = new Uint8Array(0);
  #at = 0;
  #failure: string | undefined;

  #field: Field = "control";
  #varint = 0;
  #varintBytes = 0;
  #control = 0;
  #streamId = 0;
  #messageId = 0;
  #frameLeft = 0;
  /** The stream id of all frames; the first Invoke sets it. */
  #onlyStreamId: number | undefined;
  #nextMessageId = 1;

  /** Kind of the unfinished packet; undefined between packets, and for a packet that is skipped. */
  #kind: PacketKind | undefined;
  #partialId = 0;
  #partialKind = 0;
  #buffer = new Uint8Array(0);
  #buffered = 0;

  constructor(
    options: {
      readonly maxPacketBytes?: number | undefined;
      readonly budget?: ReassemblyBudget | undefined;
      readonly streamId?: number | undefined;
    } = {},
  ) {
    this.#maxPacketBytes = options.maxPacketBytes ?? MAX_PACKET_BYTES;
    this.#budget = options.budget ?? { usedBytes: 0, limitBytes: Number.MAX_SAFE_INTEGER };
    this.#onlyStreamId = options.streamId;
  }

  /** Set after the peer broke the protocol; nothing more is read. */
  get failure(): string | undefined {
    return this.#failure;
  }
  get wantsInput(): boolean {
    return this.#failure === undefined && this.#at === this.#chunk.length;
  }

  /** Only when wantsInput. @param chunk Owned by the reader from now on. */
  feed(chunk: Uint8Array): void {
    if (!this.wantsInput) return;
    this.#chunk = chunk as Uint8Array<ArrayBuffer>;
    this.#at = 0;
  }

  /** The next whole packet, or undefined when it needs input or failed. */
  next(): Packet | undefined {
    while (this.#failure === undefined) {
      if (this.#field === "data") {
        if (!this.#takeData()) return undefined;
        const packet = this.#endFrame();
        if (packet !== undefined) return packet;
      } else {
        if (this.#at === this.#chunk.length) return undefined;
        this.#takeHeaderByte(this.#chunk[this.#at++]!);
      }
    }
    return undefined;
  }

  /** Returns its memory to the budget. */
  dispose(): void {
    this.#releaseBuffer();
    this.#chunk = new Uint8Array(0);
    this.#at = 0;
    this.#failure ??= "disposed";
  }

  #takeHeaderByte(byte: number): void {
    if (this.#field === "control") {
      this.#control = byte;
      this.#field = "stream id";
      return;
    }
    this.#varint += (byte & 0x7f) * 2 ** (7 * this.#varintBytes++);
    if (this.#varint > Number.MAX_SAFE_INTEGER) {
      this.#fail(`${this.#field} is too large`);
      return;
    }
    if (byte >= 0x80) {
      if (this.#varintBytes === MAX_VARINT_BYTES) this.#fail(`${this.#field} is not a varint`);
      return;
    }
    const value = this.#varint;
    this.#varint = 0;
    this.#varintBytes = 0;
    if (this.#field === "stream id") {
      this.#streamId = value;
      this.#field = "message id";
    } else if (this.#field === "message id") {
      this.#messageId = value;
      this.#field = "length";
    } else {
      this.#frameLeft = value;
      this.#field = "data";
      this.#beginFrame();
    }
  }

  #beginFrame(): void {
    const kind = (this.#control >> 1) & 0x3f;
    const messageId = this.#messageId;
    this.#onlyStreamId ??= this.#streamId;
    if (this.#streamId === 0 || this.#streamId !== this.#onlyStreamId) {
      this.#fail(`stream id ${this.#streamId}`);
      return;
    }
    if (messageId < this.#nextMessageId) {
      this.#fail(`message id ${messageId} after ${this.#nextMessageId - 1}`);
      return;
    }
    if (messageId !== this.#partialId) {
      this.#buffered = 0; // a newer packet replaces an unfinished one
      this.#partialId = messageId;
      this.#partialKind = kind;
      this.#nextMessageId = messageId;
    } else if (kind !== this.#partialKind) {
      this.#fail(`packet ${messageId} changes its kind`);
      return;
    }
    this.#kind = isPacketKind(kind) ? kind : undefined;
    if (this.#kind === undefined) {
      if ((this.#control & CONTROL_PACKET) === 0) this.#fail(`packet of unknown kind ${kind}`);
      return;
    }
    if (this.#buffered + this.#frameLeft > this.#maxPacketBytes)
      this.#fail(`packet exceeds ${this.#maxPacketBytes} bytes`);
  }

  /** True when the frame's data is complete. */
  #takeData(): boolean {
    const piece = this.#chunk.subarray(this.#at, Math.min(this.#chunk.length, this.#at + this.#frameLeft));
    if (piece.length > 0 && this.#kind !== undefined) {
      if (!this.#reserve(this.#buffered + piece.length)) {
        this.#fail("too much memory in unfinished packets");
        return false;
      }
      this.#buffer.set(piece, this.#buffered);
      this.#buffered += piece.length;
    }
    this.#at += piece.length;
    this.#frameLeft -= piece.length;
    return this.#frameLeft === 0;
  }

  #endFrame(): Packet | undefined {
    this.#field = "control";
    if ((this.#control & LAST_FRAME) === 0) return undefined;
    this.#nextMessageId = this.#messageId + 1;
    this.#partialId = 0;
    if (this.#kind === undefined) return undefined;
    const data = this.#buffer.subarray(0, this.#buffered);
    const packet = { kind: this.#kind, streamId: this.#streamId, messageId: this.#messageId, data };
    this.#releaseBuffer();
    return packet;
  }

  #reserve(bytes: number): boolean {
    if (bytes <= this.#buffer.length) return true;
    // Doubling keeps copying linear; capped at what the packet can still need and what the budget has.
    const ends = (this.#control & LAST_FRAME) !== 0;
    const limit = ends ? this.#buffered + this.#frameLeft : this.#maxPacketBytes;
    const available = this.#budget.limitBytes - this.#budget.usedBytes + this.#buffer.length;
    const size = Math.max(bytes, Math.min(2 * this.#buffer.length, limit, available));
    if (size > available) return false;
    this.#budget.usedBytes += size - this.#buffer.length;
    const grown = new Uint8Array(size);
    grown.set(this.#buffer.subarray(0, this.#buffered));
    this.#buffer = grown;
    return true;
  }

  #releaseBuffer(): void {
    this.#budget.usedBytes -= this.#buffer.length;
    this.#buffer = new Uint8Array(0);
    this.#buffered = 0;
  }

  #fail(what: string): void {
    this.#failure = `dRPC protocol error: ${what}`;
    this.#releaseBuffer();
  }
}

function isPacketKind(kind: number): kind is PacketKind {
  return kind >= PacketKind.invoke && kind <= PacketKind.invokeMetadata;
}
