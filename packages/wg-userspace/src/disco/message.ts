/**
 * The plaintext of disco messages, inside their box: `type(1) ‖ version(1) ‖ body`, integers big-endian. Lengths are those of
 * Coder's fork: pings and pongs are padded so that an answer proves that the path carries full-size packets.
 */
import { copyBytes } from "../base/bytes.ts";
import { type AddrPort, ipFromBytes, isIpv4 } from "../base/ip.ts";
import { KEY_BYTES, type NodePublicKey, nodePublicKey } from "../base/keys.ts";

export const DISCO_TX_ID_BYTES = 12;
/** magic(6) ‖ sender key(32) ‖ nonce(24) ‖ tag(16): what a sealed message adds to its plaintext. */
export const DISCO_OVERHEAD_BYTES = 78;
/** UDP payload of a ping and pong as the fork sends them: 78 + 2 + 1230. */
export const DISCO_PADDED_BYTES = 1310;
/** Endpoints read from one CallMeMaybe; further ones are ignored. */
export const MAX_CALL_ME_MAYBE_ENDPOINTS = 64;

const TYPE_PING = 1;
const TYPE_PONG = 2;
const TYPE_CALL_ME_MAYBE = 3;
const PADDED_VERSION = 1;
const ENDPOINT_BYTES = 18;
const RELAY_PSEUDO_ADDRESS = Uint8Array.of(127, 3, 3, 40);

export type DiscoMessage =
  | {
      readonly kind: "ping";
      /** Owned, 12 bytes. */
      readonly txId: Uint8Array;
      /** Absent in pings of very old peers. */
      readonly nodeKey: NodePublicKey | undefined;
    }
  | {
      readonly kind: "pong";
      readonly txId: Uint8Array;
      /** The source address of the ping as the answering side saw it. */
      readonly source: AddrPort;
    }
  | { readonly kind: "call-me-maybe"; readonly endpoints: readonly AddrPort[] };

/**
 * @param payloadBytes Length of the sealed message, at least 126: padding fills the rest. With a smaller value there is
 * no padding.
 */
export function encodePing(txId: Uint8Array, nodeKey: NodePublicKey, payloadBytes = DISCO_PADDED_BYTES): Uint8Array {
  const least = 2 + DISCO_TX_ID_BYTES + KEY_BYTES;
  const bytes = new Uint8Array(Math.max(least, payloadBytes - DISCO_OVERHEAD_BYTES));
  bytes[0] = TYPE_PING;
  bytes[1] = PADDED_VERSION;
  bytes.set(txId, 2);
  bytes.set(nodeKey, 14);
  return bytes;
}

/**
 * Padded like the ping it answers, up to the usual length, so that it tests the way back: a small ping gets a small answer.
 * @param pingBytes Length of the sealed ping.
 */
export function encodePong(txId: Uint8Array, source: AddrPort, pingBytes = DISCO_PADDED_BYTES): Uint8Array {
  const least = 2 + DISCO_TX_ID_BYTES + ENDPOINT_BYTES;
  const bytes = new Uint8Array(Math.max(least, Math.min(pingBytes, DISCO_PADDED_BYTES) - DISCO_OVERHEAD_BYTES));
  bytes[0] = TYPE_PONG;
  bytes[1] = PADDED_VERSION;
  bytes.set(txId, 2);
  writeEndpoint(bytes, 14, source);
  return bytes;
}

export function encodeCallMeMaybe(endpoints: readonly AddrPort[]): Uint8Array {
  const bytes = new Uint8Array(2 + ENDPOINT_BYTES * endpoints.length);
  bytes[0] = TYPE_CALL_ME_MAYBE;
  for (const [i, endpoint] of endpoints.entries()) writeEndpoint(bytes, 2 + ENDPOINT_BYTES * i, endpoint);
  return bytes;
}

/** Undefined for truncated messages and unknown types. Trailing bytes are padding. */
export function parseDiscoMessage(plaintext: Uint8Array): DiscoMessage | undefined {
  if (plaintext.length < 2) return undefined;
  const body = plaintext.length - 2;
  switch (plaintext[0]) {
    case TYPE_PING: {
      if (body < DISCO_TX_ID_BYTES) return undefined;
      const hasKey = body >= DISCO_TX_ID_BYTES + KEY_BYTES;
      return {
        kind: "ping",
        txId: copyBytes(plaintext, 2, 14),
        nodeKey: hasKey ? nodePublicKey(copyBytes(plaintext, 14, 14 + KEY_BYTES)) : undefined,
      };
    }
    case TYPE_PONG:
      if (body < DISCO_TX_ID_BYTES + ENDPOINT_BYTES) return undefined;
      return { kind: "pong", txId: copyBytes(plaintext, 2, 14), source: readEndpoint(plaintext, 14) };
    case TYPE_CALL_ME_MAYBE: {
      // An unreadable body is still significant: the sender withdraws the endpoints it named before.
      if (plaintext[1] !== 0 || body % ENDPOINT_BYTES !== 0) return { kind: "call-me-maybe", endpoints: [] };
      const count = Math.min(body / ENDPOINT_BYTES, MAX_CALL_ME_MAYBE_ENDPOINTS);
      return {
        kind: "call-me-maybe",
        endpoints: Array.from({ length: count }, (_, i) => readEndpoint(plaintext, 2 + ENDPOINT_BYTES * i)),
      };
    }
    default:
      return undefined;
  }
}

/** The text of a relay region where an address and port are expected. */
export function relayPseudoAddress(regionId: number): AddrPort {
  return { address: ipFromBytes(RELAY_PSEUDO_ADDRESS), port: regionId };
}

function writeEndpoint(bytes: Uint8Array, at: number, { address, port }: AddrPort): void {
  if (isIpv4(address)) {
    bytes[at + 10] = 0xff;
    bytes[at + 11] = 0xff;
    bytes.set(address, at + 12);
  } else bytes.set(address, at);
  bytes[at + 16] = port >> 8;
  bytes[at + 17] = port & 255;
}

function readEndpoint(bytes: Uint8Array, at: number): AddrPort {
  const port = (bytes[at + 16]! << 8) | bytes[at + 17]!;
  let mapped = bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
  for (let i = 0; i < 10; i++) mapped &&= bytes[at + i] === 0;
  return { address: ipFromBytes(copyBytes(bytes, mapped ? at + 12 : at, at + 16)), port };
}
