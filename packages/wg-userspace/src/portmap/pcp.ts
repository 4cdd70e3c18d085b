/**
 * PCP (RFC 6887), the same UDP port as NAT-PMP. All numbers big-endian; IPv4 addresses as ::ffff:a.b.c.d.
 *
 *   request   version 2 | op | 0 u16 | lifetime u32, s | client address 16
 *   response  version 2 | op + 128 | 0 | result u8 | lifetime u32 | epoch u32 | 0 × 12
 *   MAP       nonce 12 | protocol u8 | 0 × 3 | internal port u16 | external port u16 | external address 16
 *
 * ANNOUNCE (op 0) is the header alone and serves to detect a server. A MAP (op 1) with lifetime 0 deletes.
 */
import { viewOf } from "../base/bytes.ts";
import { type IpAddress, ipFromBytes, isIpv4 } from "../base/ip.ts";

export const PCP_NONCE_BYTES = 12;
/** The answer of a server without ANNOUNCE, which also proves that it is there. */
export const PCP_UNSUPPORTED_OPCODE = 4;
const VERSION = 2;
const OP_ANNOUNCE = 0;
const OP_MAP = 1;
const RESPONSE = 0x80;
const HEADER_BYTES = 24;
const MAP_BYTES = 60;
const MAX_BYTES = 1100;
const UDP = 17;

export interface PcpMapping {
  readonly nonce: Uint8Array;
  readonly internalPort: number;
  readonly externalPort: number;
  readonly lifetimeS: number;
}

export type PcpResponse =
  | { readonly kind: "announce"; readonly result: number }
  | ({ readonly kind: "mapping"; readonly result: number; readonly external: IpAddress } & PcpMapping);

export function encodePcpAnnounce(self: IpAddress): Uint8Array {
  const packet = new Uint8Array(HEADER_BYTES);
  writeHeader(packet, OP_ANNOUNCE, 0, self);
  return packet;
}

/** @param self Our IPv4 address as the gateway sees it: it refuses a request from a different source. */
export function encodePcpMapRequest(self: IpAddress, mapping: PcpMapping): Uint8Array {
  const packet = new Uint8Array(MAP_BYTES);
  const view = viewOf(packet);
  writeHeader(packet, OP_MAP, mapping.lifetimeS, self);
  packet.set(mapping.nonce, 24);
  packet[36] = UDP;
  view.setUint16(40, mapping.internalPort);
  view.setUint16(42, mapping.externalPort);
  packet[54] = packet[55] = 0xff; // any IPv4 address
  return packet;
}

/** Undefined for anything that is not a whole response. With a `result` other than 0, the lifetime is that of the error. */
export function parsePcpResponse(datagram: Uint8Array): PcpResponse | undefined {
  if (datagram.length < HEADER_BYTES || datagram.length > MAX_BYTES || datagram.length % 4 !== 0) return undefined;
  if (datagram[0] !== VERSION) return undefined;
  const view = viewOf(datagram);
  const result = datagram[3]!;
  if (datagram[1] === (RESPONSE | OP_ANNOUNCE)) return { kind: "announce", result };
  if (datagram[1] !== (RESPONSE | OP_MAP) || datagram.length < MAP_BYTES || datagram[36] !== UDP) return undefined;
  return {
    kind: "mapping",
    result,
    lifetimeS: view.getUint32(4),
    nonce: datagram.slice(24, 36),
    internalPort: view.getUint16(40),
    externalPort: view.getUint16(42),
    external: unmapped(datagram.slice(44, 60)),
  };
}

function writeHeader(packet: Uint8Array, op: number, lifetimeS: number, self: IpAddress): void {
  packet[0] = VERSION;
  packet[1] = op;
  viewOf(packet).setUint32(4, lifetimeS);
  if (isIpv4(self)) {
    packet[18] = packet[19] = 0xff;
    packet.set(self, 20);
  } else packet.set(self, 8);
}

function unmapped(bytes: Uint8Array): IpAddress {
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return ipFromBytes(isMapped ? bytes.slice(12) : bytes);
}
