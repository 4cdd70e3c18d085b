/**
 * STUN Binding messages (RFC 8489), the only method used here: UDP, no authentication. The request has the exact shape
 * that the servers of the Tailscale family answer: SOFTWARE "tailnode", then FINGERPRINT, 40 bytes.
 */
import { bytesEqual, copyBytes } from "../base/bytes.ts";
import { type AddrPort, ipFromBytes, isIpv4 } from "../base/ip.ts";

export const TRANSACTION_ID_BYTES = 12;
export const BINDING_REQUEST_BYTES = 40;
const HEADER_BYTES = 20;
const COOKIE = Uint8Array.of(0x21, 0x12, 0xa4, 0x42);
const BINDING_REQUEST = 0x0001;
const BINDING_RESPONSE = 0x0101;
const MAPPED_ADDRESS = 0x0001;
const XOR_MAPPED_ADDRESS = 0x0020;
/** XOR-MAPPED-ADDRESS of drafts, still sent by old servers. */
const XOR_MAPPED_ADDRESS_OLD = 0x8020;
const SOFTWARE = 0x8022;
const FINGERPRINT = 0x8028;
const FINGERPRINT_XOR = 0x5354554e;
const SOFTWARE_NAME = Uint8Array.from("tailnode", (character) => character.charCodeAt(0));
/** Attributes read in one message: a hostile one may hold thousands. */
const MAX_ATTRIBUTES = 32;

/** Whether a datagram is STUN: checked before disco and WireGuard, which share the socket. */
export function looksLikeStun(datagram: Uint8Array): boolean {
  return datagram.length >= HEADER_BYTES && (datagram[0]! & 0xc0) === 0 && startsWithCookie(datagram);
}

/** @param transactionId 12 unpredictable bytes, by which the answer is recognised; copied. */
export function encodeBindingRequest(transactionId: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(BINDING_REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  writeHeader(bytes, view, BINDING_REQUEST, 20, transactionId);
  view.setUint16(20, SOFTWARE);
  view.setUint16(22, SOFTWARE_NAME.length);
  bytes.set(SOFTWARE_NAME, 24);
  view.setUint16(32, FINGERPRINT);
  view.setUint16(34, 4);
  view.setUint32(36, fingerprint(bytes, 32));
  return bytes;
}

/** One attribute, XOR-MAPPED-ADDRESS: 32 bytes for IPv4, 44 for IPv6. */
export function encodeBindingResponse(transactionId: Uint8Array, mapped: AddrPort): Uint8Array {
  const address = mapped.address;
  const bytes = new Uint8Array(HEADER_BYTES + 8 + address.length);
  const view = new DataView(bytes.buffer);
  writeHeader(bytes, view, BINDING_RESPONSE, 8 + address.length, transactionId);
  view.setUint16(20, XOR_MAPPED_ADDRESS);
  view.setUint16(22, 4 + address.length);
  bytes[25] = isIpv4(address) ? 1 : 2;
  view.setUint16(26, mapped.port ^ 0x2112);
  for (let i = 0; i < address.length; i++) bytes[28 + i] = address[i]! ^ bytes[4 + i]!; // cookie ‖ transaction id
  return bytes;
}

export interface BindingRequest {
  /** Owned. */
  readonly transactionId: Uint8Array;
  /** It ends in a valid FINGERPRINT. */
  readonly fingerprinted: boolean;
}

/** Undefined for anything but a well-formed Binding request; one whose FINGERPRINT is wrong is malformed. */
export function parseBindingRequest(datagram: Uint8Array): BindingRequest | undefined {
  if (!looksLikeStun(datagram)) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  const end = HEADER_BYTES + view.getUint16(2);
  if (view.getUint16(0) !== BINDING_REQUEST || end !== datagram.length || (end & 3) !== 0) return undefined;
  let fingerprinted = false;
  const wellFormed = eachAttribute(view, end, (type, at, length) => {
    if (type !== FINGERPRINT) return !fingerprinted; // nothing may follow it
    fingerprinted = length === 4 && at + 4 === end && view.getUint32(at) === fingerprint(datagram, at - 4);
    return fingerprinted;
  });
  return wellFormed ? { transactionId: copyBytes(datagram, 8, HEADER_BYTES), fingerprinted } : undefined;
}

export interface BindingResponse {
  /** Owned. */
  readonly transactionId: Uint8Array;
  /** The source of the request as the server saw it. IPv4-mapped IPv6 is given as IPv4. */
  readonly mapped: AddrPort;
}

/** Undefined for anything but a success response with an address. Bytes after the message are ignored. */
export function parseBindingResponse(datagram: Uint8Array): BindingResponse | undefined {
  if (!looksLikeStun(datagram)) return undefined;
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  const end = HEADER_BYTES + view.getUint16(2);
  if (view.getUint16(0) !== BINDING_RESPONSE || end > datagram.length) return undefined;
  let exact: AddrPort | undefined;
  let plain: AddrPort | undefined;
  const wellFormed = eachAttribute(view, end, (type, at, length) => {
    if (type === XOR_MAPPED_ADDRESS || type === XOR_MAPPED_ADDRESS_OLD) exact ??= addressAt(datagram, at, length, true);
    else if (type === MAPPED_ADDRESS) plain ??= addressAt(datagram, at, length, false);
    return true;
  });
  const mapped = exact ?? plain;
  if (!wellFormed || mapped === undefined) return undefined;
  return { transactionId: copyBytes(datagram, 8, HEADER_BYTES), mapped };
}

/** The transaction id of any STUN message, borrowed. */
export function transactionIdOf(datagram: Uint8Array): Uint8Array {
  return datagram.subarray(8, HEADER_BYTES);
}

/** Visits attributes until `visit` returns false. Returns false as well when they are truncated or too many. */
function eachAttribute(
  view: DataView,
  end: number,
  visit: (type: number, at: number, length: number) => boolean,
): boolean {
  let at = HEADER_BYTES;
  for (let count = 0; at < end; count++) {
    if (count >= MAX_ATTRIBUTES || at + 4 > end) return false;
    const length = view.getUint16(at + 2);
    if (at + 4 + length > end || !visit(view.getUint16(at), at + 4, length)) return false;
    at += 4 + ((length + 3) & ~3);
  }
  return true;
}

function addressAt(bytes: Uint8Array, at: number, length: number, xored: boolean): AddrPort | undefined {
  const size = bytes[at + 1] === 1 ? 4 : bytes[at + 1] === 2 ? 16 : 0;
  if (size === 0 || length !== 4 + size) return undefined;
  const address = copyBytes(bytes, at + 4, at + 4 + size);
  let port = (bytes[at + 2]! << 8) | bytes[at + 3]!;
  if (xored) {
    port ^= 0x2112;
    for (let i = 0; i < size; i++) address[i]! ^= bytes[4 + i]!;
  }
  return { address: ipFromBytes(isIpv4Mapped(address) ? address.slice(12) : address), port };
}

function isIpv4Mapped(address: Uint8Array): boolean {
  if (address.length !== 16 || address[10] !== 0xff || address[11] !== 0xff) return false;
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false;
  return true;
}

function writeHeader(bytes: Uint8Array, view: DataView, type: number, length: number, transactionId: Uint8Array): void {
  if (transactionId.length !== TRANSACTION_ID_BYTES)
    throw new RangeError(`a transaction id has ${TRANSACTION_ID_BYTES} bytes, got ${transactionId.length}`);
  view.setUint16(0, type);
  view.setUint16(2, length);
  bytes.set(COOKIE, 4);
  bytes.set(transactionId, 8);
}

function startsWithCookie(datagram: Uint8Array): boolean {
  return bytesEqual(datagram.subarray(4, 8), COOKIE);
}

/** CRC-32 (ISO-HDLC) of everything before the attribute, XOR "STUN" (RFC 8489 §14.7). */
function fingerprint(bytes: Uint8Array, end: number): number {
  let crc = 0xffffffff;
  for (let i = 0; i < end; i++) {
    crc ^= bytes[i]!;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff ^ FINGERPRINT_XOR) >>> 0;
}
