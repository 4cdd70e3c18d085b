import type { DropReason } from "../../base/errors.ts";
import type { IpAddress } from "../../base/ip.ts";
import type { ChecksumFunction, PacketMemory } from "../../base/ports.ts";
import { foldChecksum } from "./checksum.ts";
import { type IpPacket, PROTOCOL_FRAGMENT } from "./ip-packet.ts";
import { emitIpv4, IPV4_HEADER_BYTES, makeIpv4Fragment, parseIpv4 } from "./ipv4.ts";
import { emitIpv6, emitIpv6Fragment, IPV6_FRAGMENT_HEADER_BYTES, IPV6_HEADER_BYTES, parseIpv6 } from "./ipv6.ts";

/** Parses a packet of either family, by the version nibble. */
export function parseIpPacket(
  memory: PacketMemory,
  offset: number,
  length: number,
  checksum: ChecksumFunction,
  out: IpPacket,
): DropReason | undefined {
  if (length < 1) return "too-short";
  const version = memory.bytes[offset]! >> 4;
  if (version === 6) return parseIpv6(memory, offset, length, out);
  if (version === 4) return parseIpv4(memory, offset, length, checksum, out);
  return "malformed";
}

export function ipHeaderBytes(address: Uint8Array): number {
  return address.length === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
}

/** Writes the header of the addresses' family. @returns the header's length. */
export function emitIpHeader(
  memory: PacketMemory,
  offset: number,
  source: IpAddress,
  destination: IpAddress,
  protocol: number,
  payloadLength: number,
  checksum: ChecksumFunction,
): number {
  if (source.length === 4) {
    emitIpv4(memory, offset, source, destination, protocol, payloadLength, checksum);
    return IPV4_HEADER_BYTES;
  }
  emitIpv6(memory, offset, source, destination, protocol, payloadLength);
  return IPV6_HEADER_BYTES;
}

/** Bytes before the payload of a fragment. */
export function fragmentHeaderBytes(address: Uint8Array): number {
  return address.length === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES + IPV6_FRAGMENT_HEADER_BYTES;
}

/** Like emitIpHeader, but for one fragment of a packet. @param at Where its payload belongs: a multiple of 8. */
export function emitFragmentHeader(
  memory: PacketMemory,
  offset: number,
  source: IpAddress,
  destination: IpAddress,
  protocol: number,
  payloadLength: number,
  identification: number,
  at: number,
  more: boolean,
  checksum: ChecksumFunction,
): number {
  if (source.length === 4) {
    emitIpv4(memory, offset, source, destination, protocol, payloadLength, checksum);
    makeIpv4Fragment(memory, offset, identification, at, more, checksum);
    return IPV4_HEADER_BYTES;
  }
  emitIpv6(memory, offset, source, destination, PROTOCOL_FRAGMENT, IPV6_FRAGMENT_HEADER_BYTES + payloadLength);
  emitIpv6Fragment(memory, offset + IPV6_HEADER_BYTES, protocol, identification, at, more);
  return IPV6_HEADER_BYTES + IPV6_FRAGMENT_HEADER_BYTES;
}

/** The sum that the checksum of a transport payload of that length begins with. */
export function pseudoHeaderSum(
  source: IpAddress,
  destination: IpAddress,
  protocol: number,
  payloadLength: number,
  checksum: ChecksumFunction,
): number {
  const addresses = checksum(destination, 0, destination.length, checksum(source, 0, source.length, 0));
  return foldChecksum(addresses + protocol + payloadLength);
}

/**
 * Sum over pseudo-header and payload of a received packet; 0xffff when the checksum in it is right. Where the payload
 * follows the addresses directly, which is the normal case, one run over both is enough.
 */
export function transportSum(memory: PacketMemory, packet: IpPacket, checksum: ChecksumFunction): number {
  const initial = foldChecksum(packet.protocol + packet.payloadLength);
  const addressBytes = 2 * packet.addressLength;
  if (packet.sourceOffset + addressBytes === packet.payloadOffset)
    return checksum(memory.bytes, packet.sourceOffset, addressBytes + packet.payloadLength, initial);
  const addresses = checksum(memory.bytes, packet.sourceOffset, addressBytes, initial);
  return checksum(memory.bytes, packet.payloadOffset, packet.payloadLength, addresses);
}

/** The checksum field's value for a packet written by emitIpHeader; the field itself must be zero. */
export function transportChecksum(
  memory: PacketMemory,
  offset: number,
  headerLength: number,
  protocol: number,
  payloadLength: number,
  checksum: ChecksumFunction,
): number {
  const addressBytes = headerLength === IPV4_HEADER_BYTES ? 8 : 32;
  const initial = foldChecksum(protocol + payloadLength);
  const sum = checksum(memory.bytes, offset + headerLength - addressBytes, addressBytes + payloadLength, initial);
  return ~sum & 0xffff;
}
