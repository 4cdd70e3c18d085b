/**
 * The four message layouts (WireGuard whitepaper §5.4). Integers are little-endian; the first u32 is the type, so a
 * non-zero reserved byte makes an unknown type.
 *
 *     initiation    1 | sender 4 | ephemeral 32 | static 32+16 | timestamp 12+16 | mac1 16 | mac2 16     148
 *     response      2 | sender 4 | receiver 4   | ephemeral 32 | empty 16        | mac1 16 | mac2 16      92
 *     cookie reply  3 | receiver 4 | nonce 24   | cookie 16+16                                            64
 *     transport     4 | receiver 4 | counter 8  | packet n+16                                          >= 32
 *
 * Parsers take a region of a larger buffer, check its length once and return views that alias it. They never throw.
 */
import { COOKIE_NONCE_LENGTH, KEY_LENGTH, MAC_LENGTH, TAG_LENGTH, TIMESTAMP_LENGTH } from "./constants.ts";

export const INITIATION_TYPE = 1;
export const RESPONSE_TYPE = 2;
export const COOKIE_REPLY_TYPE = 3;
export const TRANSPORT_TYPE = 4;

export const INITIATION_LENGTH = 148;
export const RESPONSE_LENGTH = 92;
export const COOKIE_REPLY_LENGTH = 64;
export const MIN_TRANSPORT_LENGTH = 32;
const MIN_MESSAGE_LENGTH = 32;

export interface MacFields {
  readonly beforeMac1: Uint8Array;
  readonly mac1: Uint8Array;
  /** The message up to mac2, including mac1. */
  readonly beforeMac2: Uint8Array;
  readonly mac2: Uint8Array;
}

export interface Initiation extends MacFields {
  readonly kind: "initiation";
  readonly senderIndex: number;
  readonly ephemeral: Uint8Array;
  readonly sealedStatic: Uint8Array;
  readonly sealedTimestamp: Uint8Array;
}

export interface Response extends MacFields {
  readonly kind: "response";
  readonly senderIndex: number;
  readonly receiverIndex: number;
  readonly ephemeral: Uint8Array;
  readonly sealedEmpty: Uint8Array;
}

export interface CookieReply {
  readonly kind: "cookie-reply";
  readonly receiverIndex: number;
  readonly nonce: Uint8Array;
  readonly sealedCookie: Uint8Array;
}

export interface TransportMessage {
  readonly kind: "transport";
  readonly receiverIndex: number;
  readonly counterLow: number;
  readonly counterHigh: number;
  /** Ciphertext and tag. */
  readonly sealedPacket: Uint8Array;
}

export type Message = Initiation | Response | CookieReply | TransportMessage;
export type MessageKind = Message["kind"];

/** The kind of a received region, by type and length alone; otherwise the reason to drop it. Allocates nothing. */
export function classifyMessage(
  bytes: Uint8Array,
  offset: number,
  length: number,
): MessageKind | "too-short" | "unknown-type" | "malformed" {
  if (length < MIN_MESSAGE_LENGTH || offset + length > bytes.length) return "too-short";
  if ((bytes[offset + 1]! | bytes[offset + 2]! | bytes[offset + 3]!) !== 0) return "unknown-type";
  switch (bytes[offset]!) {
    case TRANSPORT_TYPE:
      return "transport";
    case INITIATION_TYPE:
      return length === INITIATION_LENGTH ? "initiation" : "malformed";
    case RESPONSE_TYPE:
      return length === RESPONSE_LENGTH ? "response" : "malformed";
    case COOKIE_REPLY_TYPE:
      return length === COOKIE_REPLY_LENGTH ? "cookie-reply" : "malformed";
    default:
      return "unknown-type";
  }
}

/** Any message, or undefined. The device uses it for handshakes only; transport messages are read in place. */
export function parseMessage(bytes: Uint8Array, offset: number, length: number): Message | undefined {
  switch (classifyMessage(bytes, offset, length)) {
    case "initiation":
      return parseInitiation(bytes, offset, length);
    case "response":
      return parseResponse(bytes, offset, length);
    case "cookie-reply":
      return parseCookieReply(bytes, offset, length);
    case "transport":
      return parseTransport(bytes, offset, length);
    default:
      return undefined;
  }
}

export function parseInitiation(bytes: Uint8Array, offset: number, length: number): Initiation | undefined {
  if (classifyMessage(bytes, offset, length) !== "initiation") return undefined;
  return {
    kind: "initiation",
    senderIndex: readUint32(bytes, offset + 4),
    ephemeral: view(bytes, offset + 8, KEY_LENGTH),
    sealedStatic: view(bytes, offset + 40, KEY_LENGTH + TAG_LENGTH),
    sealedTimestamp: view(bytes, offset + 88, TIMESTAMP_LENGTH + TAG_LENGTH),
    ...macFields(bytes, offset, length),
  };
}

export function parseResponse(bytes: Uint8Array, offset: number, length: number): Response | undefined {
  if (classifyMessage(bytes, offset, length) !== "response") return undefined;
  return {
    kind: "response",
    senderIndex: readUint32(bytes, offset + 4),
    receiverIndex: readUint32(bytes, offset + 8),
    ephemeral: view(bytes, offset + 12, KEY_LENGTH),
    sealedEmpty: view(bytes, offset + 44, TAG_LENGTH),
    ...macFields(bytes, offset, length),
  };
}

export function parseCookieReply(bytes: Uint8Array, offset: number, length: number): CookieReply | undefined {
  if (classifyMessage(bytes, offset, length) !== "cookie-reply") return undefined;
  return {
    kind: "cookie-reply",
    receiverIndex: readUint32(bytes, offset + 4),
    nonce: view(bytes, offset + 8, COOKIE_NONCE_LENGTH),
    sealedCookie: view(bytes, offset + 32, MAC_LENGTH + TAG_LENGTH),
  };
}

export function parseTransport(bytes: Uint8Array, offset: number, length: number): TransportMessage | undefined {
  if (classifyMessage(bytes, offset, length) !== "transport") return undefined;
  return {
    kind: "transport",
    receiverIndex: readUint32(bytes, offset + 4),
    counterLow: readUint32(bytes, offset + 8),
    counterHigh: readUint32(bytes, offset + 12),
    sealedPacket: view(bytes, offset + 16, length - 16),
  };
}

/** Writes all of an initiation but its macs, which are left zero. `out` has INITIATION_LENGTH bytes. */
export function writeInitiation(
  out: Uint8Array,
  senderIndex: number,
  ephemeral: Uint8Array,
  sealedStatic: Uint8Array,
  sealedTimestamp: Uint8Array,
): void {
  out.fill(0);
  writeUint32(out, 0, INITIATION_TYPE);
  writeUint32(out, 4, senderIndex);
  out.set(ephemeral, 8);
  out.set(sealedStatic, 40);
  out.set(sealedTimestamp, 88);
}

/** Writes all of a response but its macs, which are left zero. `out` has RESPONSE_LENGTH bytes. */
export function writeResponse(
  out: Uint8Array,
  senderIndex: number,
  receiverIndex: number,
  ephemeral: Uint8Array,
  sealedEmpty: Uint8Array,
): void {
  out.fill(0);
  writeUint32(out, 0, RESPONSE_TYPE);
  writeUint32(out, 4, senderIndex);
  writeUint32(out, 8, receiverIndex);
  out.set(ephemeral, 12);
  out.set(sealedEmpty, 44);
}

/** `out` has COOKIE_REPLY_LENGTH bytes. */
export function writeCookieReply(
  out: Uint8Array,
  receiverIndex: number,
  nonce: Uint8Array,
  sealedCookie: Uint8Array,
): void {
  writeUint32(out, 0, COOKIE_REPLY_TYPE);
  writeUint32(out, 4, receiverIndex);
  out.set(nonce, 8);
  out.set(sealedCookie, 32);
}

/** Header of a transport message at `offset` of the buffer that `target` covers. */
export function writeTransportHeader(
  target: DataView,
  offset: number,
  receiverIndex: number,
  counterLow: number,
  counterHigh: number,
): void {
  target.setUint32(offset, TRANSPORT_TYPE, true);
  target.setUint32(offset + 4, receiverIndex, true);
  target.setUint32(offset + 8, counterLow, true);
  target.setUint32(offset + 12, counterHigh, true);
}

/** The trailing macs of an initiation or a response, as views into it. */
export function macFields(bytes: Uint8Array, offset: number, length: number): MacFields {
  const end = offset + length;
  return {
    beforeMac1: bytes.subarray(offset, end - 2 * MAC_LENGTH),
    mac1: bytes.subarray(end - 2 * MAC_LENGTH, end - MAC_LENGTH),
    beforeMac2: bytes.subarray(offset, end - MAC_LENGTH),
    mac2: bytes.subarray(end - MAC_LENGTH, end),
  };
}

function view(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  return bytes.subarray(offset, offset + length);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
