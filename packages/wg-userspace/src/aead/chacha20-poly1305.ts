/**
 * AEAD_CHACHA20_POLY1305 (RFC 8439 §2.8) over any nonce and additional data, from the plain JavaScript primitives
 * beside it.
 */
import { chacha20Block, chacha20Xor } from "./chacha20.ts";
import { TAG_BYTES } from "./cipher-options.ts";
import { poly1305 } from "./poly1305.ts";

/** Returns ciphertext and tag. */
export function sealChaCha20Poly1305(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  ad: Uint8Array,
): Uint8Array {
  const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
  sealed.set(plaintext);
  const ciphertext = sealed.subarray(0, plaintext.length);
  chacha20Xor(key, 1, nonce, ciphertext);
  sealed.set(tagOf(key, nonce, ciphertext, ad), plaintext.length);
  return sealed;
}

/** Undefined when the tag is wrong or missing. */
export function openChaCha20Poly1305(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  ad: Uint8Array,
): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  const plaintext = new Uint8Array(sealed.subarray(0, -TAG_BYTES)); // a copy; slice of a Buffer is a view
  const expected = tagOf(key, nonce, plaintext, ad);
  let difference = 0;
  for (let i = 0; i < TAG_BYTES; i++) difference |= expected[i]! ^ sealed[plaintext.length + i]!;
  if (difference !== 0) return undefined;
  chacha20Xor(key, 1, nonce, plaintext);
  return plaintext;
}

/** Poly1305 over additional data and ciphertext, each padded to 16 bytes, and their lengths as 64 bits each. */
function tagOf(key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): Uint8Array {
  const adEnd = padded(ad.length);
  const end = adEnd + padded(ciphertext.length);
  const message = new Uint8Array(end + 16);
  message.set(ad);
  message.set(ciphertext, adEnd);
  const view = new DataView(message.buffer);
  view.setUint32(end, ad.length, true);
  view.setUint32(end + 8, ciphertext.length, true);
  const polyKey = chacha20Block(key, 0, nonce).subarray(0, 32);
  const tag = poly1305(polyKey, message);
  polyKey.fill(0);
  return tag;
}

function padded(length: number): number {
  return Math.ceil(length / 16) * 16;
}
