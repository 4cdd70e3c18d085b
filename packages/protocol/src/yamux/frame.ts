/**
 * The yamux header (hashicorp/yamux spec), 12 bytes, big-endian:
 *
 *     version(u8)=0 ‖ type(u8) ‖ flags(u16) ‖ stream id(u32) ‖ length(u32)
 *
 * Only Data is followed by a payload, of `length` bytes. WindowUpdate: length is the window's growth. Ping: an opaque
 * value. GoAway: a code.
 */
export const HEADER_BYTES = 12;

export const FrameType = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const;
export const Flag = { syn: 1, ack: 2, fin: 4, rst: 8 } as const;
export const GoAwayCode = { normal: 0, protocolError: 1, internalError: 2 } as const;

/** Bytes that may be in flight per stream and direction before the first window update. Go never grows it. */
export const INITIAL_WINDOW_BYTES = 256 * 1024;

export interface FrameHeader {
  readonly version: number;
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly length: number;
}

export function writeHeader(type: number, flags: number, streamId: number, length: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  bytes[1] = type;
  bytes[2] = flags >>> 8;
  bytes[3] = flags;
  writeU32(bytes, 4, streamId);
  writeU32(bytes, 8, length);
  return bytes;
}

/** @param bytes At least HEADER_BYTES. */
export function readHeader(bytes: Uint8Array): FrameHeader {
  return {
    version: bytes[0]!,
    type: bytes[1]!,
    flags: (bytes[2]! << 8) | bytes[3]!,
    streamId: readU32(bytes, 4),
    length: readU32(bytes, 8),
  };
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}
