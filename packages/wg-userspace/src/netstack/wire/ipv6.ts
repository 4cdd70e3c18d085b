import type { DropReason } from "../../base/errors.ts";
import type { PacketMemory } from "../../base/ports.ts";
import { DEFAULT_HOP_LIMIT, type IpPacket } from "./ip-packet.ts";

/*
 * IPv6 (RFC 8200)
 *   0 version 6, traffic class, flow label | 4 payload length | 6 next header | 7 hop limit
 *   8 source | 24 destination | 40 extension headers …
 */

export const IPV6_HEADER_BYTES = 40;
/** RFC 8200 §5: every link carries this much. */
export const IPV6_MINIMUM_MTU = 1280;

const HOP_BY_HOP = 0;
const DESTINATION_OPTIONS = 60;
const FRAGMENT = 44;
/** More extension headers than this are not met outside attacks. */
const MAX_EXTENSION_HEADERS = 8;

/** Skips hop-by-hop and destination options. @returns why the packet is not usable, or undefined when `out` was filled. */
export function parseIpv6(memory: PacketMemory, offset: number, length: number, out: IpPacket): DropReason | undefined {
  if (length < IPV6_HEADER_BYTES) return "too-short";
  const { bytes, view } = memory;
  const end = offset + IPV6_HEADER_BYTES + view.getUint16(offset + 4);
  if (end > offset + length) return "too-short";
  let next = bytes[offset + 6]!;
  let at = offset + IPV6_HEADER_BYTES;
  let extensions = 0;
  while (next === HOP_BY_HOP || next === DESTINATION_OPTIONS) {
    if (at + 8 > end || ++extensions > MAX_EXTENSION_HEADERS) return "malformed";
    next = bytes[at]!;
    at += 8 * (bytes[at + 1]! + 1);
    if (at > end) return "malformed";
  }
  if (next === FRAGMENT) return "fragmented";
  out.version = 6;
  out.protocol = next;
  out.headerOffset = offset;
  out.sourceOffset = offset + 8;
  out.destinationOffset = offset + 24;
  out.addressLength = 16;
  out.payloadOffset = at;
  out.payloadLength = end - at;
  out.hopLimit = bytes[offset + 7]!;
  return undefined;
}

/** Writes the fixed header. The addresses are copied. */
export function emitIpv6(
  memory: PacketMemory,
  offset: number,
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  payloadLength: number,
): void {
  const { bytes, view } = memory;
  view.setUint32(offset, 0x60000000);
  view.setUint16(offset + 4, payloadLength);
  view.setUint16(offset + 6, (protocol << 8) | DEFAULT_HOP_LIMIT);
  for (let i = 0; i < 16; i++) {
    bytes[offset + 8 + i] = source[i]!;
    bytes[offset + 24 + i] = destination[i]!;
  }
}
