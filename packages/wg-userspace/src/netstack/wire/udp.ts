import type { DropReason } from "../../base/errors.ts";
import type { PacketMemory } from "../../base/ports.ts";

/*
 * UDP (RFC 768): 0 source port | 2 destination port | 4 length | 6 checksum | 8 data
 */

export const UDP_HEADER_BYTES = 8;

/** Filled by parseUdp and reused. */
export class UdpHeader {
  sourcePort = 0;
  destinationPort = 0;
  payloadOffset = 0;
  payloadLength = 0;
  /** IPv4 senders may leave the checksum out; on IPv6 that is an error (RFC 8200 §8.1). */
  hasChecksum = true;
}

export function parseUdp(memory: PacketMemory, offset: number, length: number, out: UdpHeader): DropReason | undefined {
  if (length < UDP_HEADER_BYTES) return "too-short";
  const { view } = memory;
  const udpLength = view.getUint16(offset + 4);
  if (udpLength < UDP_HEADER_BYTES) return "malformed";
  if (udpLength > length) return "too-short";
  out.sourcePort = view.getUint16(offset);
  out.destinationPort = view.getUint16(offset + 2);
  out.payloadOffset = offset + UDP_HEADER_BYTES;
  out.payloadLength = udpLength - UDP_HEADER_BYTES;
  out.hasChecksum = view.getUint16(offset + 6) !== 0;
  return undefined;
}

/** Writes the header with an empty checksum field. */
export function emitUdp(
  memory: PacketMemory,
  offset: number,
  sourcePort: number,
  destinationPort: number,
  payloadLength: number,
): void {
  const { view } = memory;
  view.setUint16(offset, sourcePort);
  view.setUint16(offset + 2, destinationPort);
  view.setUint32(offset + 4, (UDP_HEADER_BYTES + payloadLength) * 0x10000);
}
