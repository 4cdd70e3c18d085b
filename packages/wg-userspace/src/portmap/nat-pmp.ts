/**
 * NAT-PMP (RFC 6886), UDP port 5351 of the gateway. All numbers big-endian.
 *
 *   address request   version 0 | op 0
 *   address response  version 0 | op 128 | result u16 | epoch u32 | IPv4
 *   mapping request   version 0 | op 1 (UDP) | 0 u16 | internal port u16 | wished external port u16 | lifetime u32, s
 *   mapping response  version 0 | op 129 | result u16 | epoch u32 | internal port u16 | external port u16 | lifetime u32, s
 *
 * A mapping request with lifetime 0 and external port 0 deletes the mapping.
 */
import { viewOf } from "../base/bytes.ts";
import { type IpAddress, ipFromBytes } from "../base/ip.ts";

export const PORT_CONTROL_PORT = 5351;
const OP_ADDRESS = 0;
const OP_MAP_UDP = 1;
const RESPONSE = 0x80;
const ADDRESS_RESPONSE_BYTES = 12;
const MAPPING_RESPONSE_BYTES = 16;

export interface PmpMapping {
  readonly internalPort: number;
  readonly externalPort: number;
  /** Seconds; 0 deletes. */
  readonly lifetimeS: number;
}

export type PmpResponse =
  | { readonly kind: "address"; readonly result: number; readonly address: IpAddress }
  | ({ readonly kind: "mapping"; readonly result: number } & PmpMapping);

export function encodePmpAddressRequest(): Uint8Array {
  return Uint8Array.of(0, OP_ADDRESS);
}

export function encodePmpMappingRequest(mapping: PmpMapping): Uint8Array {
  const packet = new Uint8Array(12);
  const view = viewOf(packet);
  packet[1] = OP_MAP_UDP;
  view.setUint16(4, mapping.internalPort);
  view.setUint16(6, mapping.externalPort);
  view.setUint32(8, mapping.lifetimeS);
  return packet;
}

/**
 * Undefined for anything that is not a whole response. With a `result` other than 0 the other fields are meaningless.
 */
export function parsePmpResponse(datagram: Uint8Array): PmpResponse | undefined {
  if (datagram.length < ADDRESS_RESPONSE_BYTES || datagram[0] !== 0) return undefined;
  const view = viewOf(datagram);
  const result = view.getUint16(2);
  if (datagram[1] === (RESPONSE | OP_ADDRESS) && datagram.length === ADDRESS_RESPONSE_BYTES)
    return { kind: "address", result, address: ipFromBytes(datagram.slice(8, 12)) };
  if (datagram[1] === (RESPONSE | OP_MAP_UDP) && datagram.length === MAPPING_RESPONSE_BYTES)
    return {
      kind: "mapping",
      result,
      internalPort: view.getUint16(8),
      externalPort: view.getUint16(10),
      lifetimeS: view.getUint32(12),
    };
  return undefined;
}
