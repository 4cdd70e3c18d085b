/** What WireGuard reads of the IP packets it carries: addresses, lengths, padding. */
import { PADDING_MULTIPLE } from "./constants.ts";

const IPV4_HEADER_LENGTH = 20;
const IPV6_HEADER_LENGTH = 40;
const IPV4_SOURCE = 12;
const IPV4_DESTINATION = 16;
const IPV6_SOURCE = 8;
const IPV6_DESTINATION = 24;

/** The length of its addresses, 4 or 16; 0 when the packet is neither IPv4 nor IPv6 or is shorter than its header. */
export function addressLength(bytes: Uint8Array, offset: number, length: number): 0 | 4 | 16 {
  if (length < 1) return 0;
  const version = bytes[offset]! >> 4;
  if (version === 4) return length >= IPV4_HEADER_LENGTH ? 4 : 0;
  if (version === 6) return length >= IPV6_HEADER_LENGTH ? 16 : 0;
  return 0;
}

/** Offset of the source address in the packet, for a result of addressLength. */
export function sourceOffset(width: 4 | 16): number {
  return width === 4 ? IPV4_SOURCE : IPV6_SOURCE;
}

export function destinationOffset(width: 4 | 16): number {
  return width === 4 ? IPV4_DESTINATION : IPV6_DESTINATION;
}

/**
 * The packet's length by its own header, without padding; 0 when that cannot be its length within `available` bytes.
 */
export function declaredLength(bytes: Uint8Array, offset: number, width: 4 | 16, available: number): number {
  const field = width === 4 ? 2 : 4;
  const value = (bytes[offset + field]! << 8) | bytes[offset + field + 1]!;
  const total = width === 4 ? value : value + IPV6_HEADER_LENGTH;
  return total > available || total < IPV4_HEADER_LENGTH ? 0 : total;
}

/** Length of the padded plaintext: a multiple of 16, unless that would exceed the MTU. */
export function paddedLength(length: number, mtu: number): number {
  const lastUnit = length > mtu ? length % mtu : length;
  const rounded = Math.ceil(lastUnit / PADDING_MULTIPLE) * PADDING_MULTIPLE;
  return length - lastUnit + Math.min(rounded, mtu);
}
