import { hexDecode, hexEncode } from "./bytes.ts";

/** A WireGuard public key, which is also the key a node uses on relays. 32 bytes. */
export type NodePublicKey = Uint8Array & { readonly __brand: "NodePublicKey" };
/** The private half; 32 bytes, clamped by X25519 itself. Never logged. */
export type NodePrivateKey = Uint8Array & { readonly __brand: "NodePrivateKey" };
/** The key of disco messages. 32 bytes. */
export type DiscoPublicKey = Uint8Array & { readonly __brand: "DiscoPublicKey" };
export type DiscoPrivateKey = Uint8Array & { readonly __brand: "DiscoPrivateKey" };

export const KEY_BYTES = 32;

export function nodePublicKey(bytes: Uint8Array): NodePublicKey {
  return check(bytes) as NodePublicKey;
}
export function nodePrivateKey(bytes: Uint8Array): NodePrivateKey {
  return check(bytes) as NodePrivateKey;
}
export function discoPublicKey(bytes: Uint8Array): DiscoPublicKey {
  return check(bytes) as DiscoPublicKey;
}
export function discoPrivateKey(bytes: Uint8Array): DiscoPrivateKey {
  return check(bytes) as DiscoPrivateKey;
}

/** `discokey:` ‖ 64 hex digits, the text form on the wire. */
export function formatDiscoKey(key: DiscoPublicKey): string {
  return `discokey:${hexEncode(key)}`;
}
/** Undefined for anything else. */
export function parseDiscoKey(text: string): DiscoPublicKey | undefined {
  if (!/^discokey:[0-9a-f]{64}$/.test(text)) return undefined;
  return discoPublicKey(hexDecode(text.slice("discokey:".length)));
}

/** Clamps 32 random bytes into an X25519 private key (RFC 7748 §5). */
export function clampPrivateKey(random: Uint8Array): Uint8Array {
  const key = check(random).slice();
  key[0] = key[0]! & 248;
  key[31] = (key[31]! & 127) | 64;
  return key;
}

/** Short form for logs: the first 8 hex digits in brackets. */
export function shortKey(key: Uint8Array): string {
  return `[${hexEncode(key.subarray(0, 4))}]`;
}

/** Map key for a 32-byte key. Control paths only: it allocates. */
export function keyId(key: Uint8Array): string {
  return hexEncode(key);
}

function check(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== KEY_BYTES) throw new RangeError(`a key has ${KEY_BYTES} bytes, got ${bytes.length}`);
  return bytes;
}
