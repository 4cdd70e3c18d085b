import type { DropReason } from "../../base/errors.ts";
import type { PacketMemory } from "../../base/ports.ts";
import { DEFAULT_HOP_LIMIT, type IpPacket, PROTOCOL_FRAGMENT } from "./ip-packet.ts";

/*
 * IPv6 (RFC 8200)
 *   0 version 6, traffic class, flow label | 4 payload length | 6 next header | 7 hop limit
 *   8 source | 24 destination | 40 extension headers …
 * Fragment header
 *   0 next header | 1 reserved | 2 offset in units of 8 bytes (13 bits), reserved (2), more fragments (1) | 4 identification
 */

export const IPV6_HEADER_BYTES = 40;
/** RFC 8200 §5: every link carries this much. */
export const IPV6_MINIMUM_MTU = 1280;

const HOP_BY_HOP = 0;
const DESTINATION_OPTIONS = 60;
export const IPV6_FRAGMENT_HEADER_BYTES = 8;
/** More extension headers than this are not met outside attacks. */
const MAX_EXTENSION_HEADERS = 8;

/**
 * Skips hop-by-hop and destination options, and the header of a fragment: what follows the first fragment header is the
 * payload, whatever its kind, since more of it may be in other fragments.
 * @returns why the packet is not usable, or undefined when `out` was filled.
 */
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
  out.fragmentOffset = out.identification = 0;
  out.moreFragments = false;
  if (next === PROTOCOL_FRAGMENT) {
    if (at + IPV6_FRAGMENT_HEADER_BYTES > end) return "malformed";
    next = bytes[at]!;
    const place = view.getUint16(at + 2);
    out.fragmentOffset = place & 0xfff8;
    out.moreFragments = (place & 1) !== 0;
    out.identification = view.getUint32(at + 4);
    at += IPV6_FRAGMENT_HEADER_BYTES;
  }
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

/** Writes a fragment header. `at` is a multiple of 8. */
export function emitIpv6Fragment(
  memory: PacketMemory,
  offset: number,
  protocol: number,
  identification: number,
  at: number,
  more: boolean,
): void {
  const { view } = memory;
  view.setUint16(offset, protocol << 8);
  view.setUint16(offset + 2, at | (more ? 1 : 0));
  view.setUint32(offset + 4, identification);
}
