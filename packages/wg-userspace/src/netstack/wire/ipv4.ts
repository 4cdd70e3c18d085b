import type { DropReason } from "../../base/errors.ts";
import type { ChecksumFunction, PacketMemory } from "../../base/ports.ts";
import { DEFAULT_HOP_LIMIT, type IpPacket } from "./ip-packet.ts";

/*
 * IPv4 (RFC 791)
 *   0 version 4 · header length in words | 1 DSCP/ECN | 2 total length
 *   4 identification                     | 6 flags (0x4000 DF, 0x2000 MF) and fragment offset
 *   8 TTL | 9 protocol | 10 header checksum
 *  12 source | 16 destination | 20 options …
 */

export const IPV4_HEADER_BYTES = 20;
/** RFC 1191 §3: no path is smaller than 68, but nothing below 576 is met in practice and tiny values are an attack. */
export const IPV4_MINIMUM_MTU = 576;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;

/** Bytes after the total length are ignored. @returns why the packet is not usable, or undefined when `out` was filled. */
export function parseIpv4(
  memory: PacketMemory,
  offset: number,
  length: number,
  checksum: ChecksumFunction,
  out: IpPacket,
): DropReason | undefined {
  if (length < IPV4_HEADER_BYTES) return "too-short";
  const { bytes, view } = memory;
  const headerLength = (bytes[offset]! & 15) * 4;
  const totalLength = view.getUint16(offset + 2);
  if (headerLength < IPV4_HEADER_BYTES || totalLength < headerLength) return "malformed";
  if (totalLength > length) return "too-short";
  if (checksum(bytes, offset, headerLength, 0) !== 0xffff) return "bad-checksum";
  const fragment = view.getUint16(offset + 6);
  out.version = 4;
  out.protocol = bytes[offset + 9]!;
  out.headerOffset = offset;
  out.sourceOffset = offset + 12;
  out.destinationOffset = offset + 16;
  out.addressLength = 4;
  out.payloadOffset = offset + headerLength;
  out.payloadLength = totalLength - headerLength;
  out.hopLimit = bytes[offset + 8]!;
  out.fragmentOffset = (fragment & 0x1fff) * 8;
  out.moreFragments = (fragment & MORE_FRAGMENTS) !== 0;
  out.identification = view.getUint16(offset + 4);
  return undefined;
}

/** Writes a header without options, "don't fragment" set, checksum included. The addresses are copied. */
export function emitIpv4(
  memory: PacketMemory,
  offset: number,
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  payloadLength: number,
  checksum: ChecksumFunction,
): void {
  const { bytes, view } = memory;
  view.setUint16(offset, 0x4500);
  view.setUint16(offset + 2, IPV4_HEADER_BYTES + payloadLength);
  // An atomic datagram needs no identification (RFC 6864 §4.1).
  view.setUint32(offset + 4, DONT_FRAGMENT);
  view.setUint16(offset + 8, (DEFAULT_HOP_LIMIT << 8) | protocol);
  view.setUint16(offset + 10, 0);
  for (let i = 0; i < 4; i++) {
    bytes[offset + 12 + i] = source[i]!;
    bytes[offset + 16 + i] = destination[i]!;
  }
  view.setUint16(offset + 10, ~checksum(bytes, offset, IPV4_HEADER_BYTES, 0) & 0xffff);
}

/** Turns the header that emitIpv4 wrote into that of a fragment. `at` is a multiple of 8. */
export function makeIpv4Fragment(
  memory: PacketMemory,
  offset: number,
  identification: number,
  at: number,
  more: boolean,
  checksum: ChecksumFunction,
): void {
  const { bytes, view } = memory;
  view.setUint16(offset + 4, identification & 0xffff);
  view.setUint16(offset + 6, (more ? MORE_FRAGMENTS : 0) | (at / 8));
  view.setUint16(offset + 10, 0);
  view.setUint16(offset + 10, ~checksum(bytes, offset, IPV4_HEADER_BYTES, 0) & 0xffff);
}
