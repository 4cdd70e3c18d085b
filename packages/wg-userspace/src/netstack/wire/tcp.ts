import type { DropReason } from "../../base/errors.ts";
import type { PacketMemory } from "../../base/ports.ts";

/*
 * TCP (RFC 9293 §3.1)
 *   0 source port | 2 destination port | 4 sequence number | 8 acknowledgment number
 *  12 data offset in words (high nibble) | 13 flags | 14 window | 16 checksum | 18 urgent pointer | 20 options …
 * Options: 0 end · 1 no-op · 2 MSS (4) · 3 window scale (3) · 4 SACK permitted (2) · 5 SACK (2+8n) · 8 timestamps (10)
 */

export const TCP_HEADER_BYTES = 20;
/** Two no-ops and the timestamps option. */
export const TIMESTAMPS_BYTES = 12;
export const MAX_SACK_BLOCKS = 4;

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const PSH = 8;
export const ACK = 16;

/** A received header with its options. Filled by parseTcp and reused. */
export class TcpSegment {
  sourcePort = 0;
  destinationPort = 0;
  seq = 0;
  ack = 0;
  flags = 0;
  /** As on the wire, unscaled. */
  window = 0;
  payloadOffset = 0;
  payloadLength = 0;
  /** -1 when the option is absent. */
  mss = -1;
  windowScale = -1;
  sackPermitted = false;
  hasTimestamps = false;
  tsValue = 0;
  tsEcho = 0;
  sackCount = 0;
  /** Left and right edge of each block. */
  readonly sackEdges: Uint32Array = new Uint32Array(2 * MAX_SACK_BLOCKS);
}

export function parseTcp(
  memory: PacketMemory,
  offset: number,
  length: number,
  out: TcpSegment,
): DropReason | undefined {
  if (length < TCP_HEADER_BYTES) return "too-short";
  const { bytes, view } = memory;
  const headerLength = (bytes[offset + 12]! >> 4) * 4;
  if (headerLength < TCP_HEADER_BYTES || headerLength > length) return "malformed";
  const ports = view.getUint32(offset);
  out.sourcePort = ports >>> 16;
  out.destinationPort = ports & 0xffff;
  out.seq = view.getUint32(offset + 4);
  out.ack = view.getUint32(offset + 8);
  out.flags = bytes[offset + 13]!;
  out.window = view.getUint16(offset + 14);
  out.payloadOffset = offset + headerLength;
  out.payloadLength = length - headerLength;
  out.sackCount = 0;
  out.mss = -1;
  out.windowScale = -1;
  out.sackPermitted = false;
  const at = offset + TCP_HEADER_BYTES;
  // The layout recommended by RFC 7323 appendix A, which is nearly every segment of an established connection.
  if (headerLength === TCP_HEADER_BYTES + TIMESTAMPS_BYTES && view.getUint32(at) === 0x0101080a) {
    out.hasTimestamps = true;
    out.tsValue = view.getUint32(at + 4);
    out.tsEcho = view.getUint32(at + 8);
    return undefined;
  }
  out.hasTimestamps = false;
  return headerLength === TCP_HEADER_BYTES ? undefined : parseOptions(memory, at, offset + headerLength, out);
}

function parseOptions(memory: PacketMemory, start: number, end: number, out: TcpSegment): DropReason | undefined {
  const { bytes, view } = memory;
  let at = start;
  while (at < end) {
    const kind = bytes[at]!;
    if (kind === 0) return undefined;
    if (kind === 1) {
      at++;
      continue;
    }
    if (at + 1 >= end) return "malformed";
    const length = bytes[at + 1]!;
    if (length < 2 || at + length > end) return "malformed";
    if (kind === 2 && length === 4) out.mss = view.getUint16(at + 2);
    else if (kind === 3 && length === 3) out.windowScale = Math.min(bytes[at + 2]!, 14);
    else if (kind === 4 && length === 2) out.sackPermitted = true;
    else if (kind === 5 && (length - 2) % 8 === 0) {
      const count = Math.min((length - 2) / 8, MAX_SACK_BLOCKS);
      for (let i = 0; i < 2 * count; i++) out.sackEdges[i] = view.getUint32(at + 2 + 4 * i);
      out.sackCount = count;
    } else if (kind === 8 && length === 10) {
      out.hasTimestamps = true;
      out.tsValue = view.getUint32(at + 2);
      out.tsEcho = view.getUint32(at + 6);
    }
    at += length;
  }
  return undefined;
}

/** Writes a header of 20 bytes with empty checksum and urgent pointer; the caller writes the options. */
export function emitTcp(
  memory: PacketMemory,
  offset: number,
  ports: number,
  seq: number,
  ack: number,
  headerLength: number,
  flags: number,
  window: number,
): void {
  const { view } = memory;
  view.setUint32(offset, ports);
  view.setUint32(offset + 4, seq);
  view.setUint32(offset + 8, ack);
  view.setUint32(offset + 12, (headerLength << 26) | (flags << 16) | window);
  view.setUint32(offset + 16, 0);
}

export function emitTimestamps(memory: PacketMemory, offset: number, value: number, echo: number): void {
  const { view } = memory;
  view.setUint32(offset, 0x0101080a);
  view.setUint32(offset + 4, value);
  view.setUint32(offset + 8, echo);
}

/** What a SYN offers or confirms; undefined members are left out. */
export interface SynOptions {
  readonly mss: number;
  readonly windowScale: number | undefined;
  readonly sackPermitted: boolean;
  /** Timestamps value and echo. */
  readonly timestamps: readonly [value: number, echo: number] | undefined;
}

/** @returns bytes written, a multiple of 4, at most 20. */
export function emitSynOptions(memory: PacketMemory, offset: number, options: SynOptions): number {
  const { view } = memory;
  let at = offset;
  view.setUint32(at, 0x02040000 | options.mss);
  at += 4;
  if (options.windowScale !== undefined) {
    view.setUint32(at, 0x01030300 | options.windowScale);
    at += 4;
  }
  if (options.timestamps !== undefined) {
    view.setUint32(at, options.sackPermitted ? 0x0402080a : 0x0101080a);
    view.setUint32(at + 4, options.timestamps[0]);
    view.setUint32(at + 8, options.timestamps[1]);
    at += 12;
  } else if (options.sackPermitted) {
    view.setUint32(at, 0x01010402);
    at += 4;
  }
  return at - offset;
}
