/** CryptoSuite and RandomSource of a browser: @noble for the handshakes, the browser's own entropy. */
import { chacha20poly1305, xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { hmac } from "@noble/hashes/hmac.js";
import { boxKeyOf } from "../aead/box-key.ts";
import type { CryptoSuite, RandomSource } from "../base/ports.ts";

const TAG_BYTES = 16;

export const browserRandom: RandomSource = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  uint32: () => crypto.getRandomValues(new Uint32Array(1))[0]!,
};

export const browserCrypto: CryptoSuite = {
  publicKey: (privateKey) => x25519.getPublicKey(privateKey),
  sharedSecret,
  blake2s(...parts) {
    const hash = blake2s.create({});
    for (const part of parts) hash.update(part);
    return hash.digest();
  },
  hmacBlake2s(key, ...parts) {
    const mac = hmac.create(blake2s, key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  },
  macBlake2s(key, ...parts) {
    const mac = blake2s.create({ key, dkLen: 16 });
    for (const part of parts) mac.update(part);
    return mac.digest();
  },
  seal: (key, counter, plaintext, ad) => chacha20poly1305(key, nonceOf(counter), ad).encrypt(plaintext),
  open: (key, counter, sealed, ad) => opened(sealed, () => chacha20poly1305(key, nonceOf(counter), ad).decrypt(sealed)),
  sealX: (key, nonce, plaintext, ad) => xchacha20poly1305(key, nonce, ad).encrypt(plaintext),
  openX: (key, nonce, sealed, ad) => opened(sealed, () => xchacha20poly1305(key, nonce, ad).decrypt(sealed)),
  boxKey(privateKey, publicKey) {
    const shared = sharedSecret(privateKey, publicKey);
    return shared === undefined ? undefined : boxKeyOf(shared);
  },
  sealBox: (boxKey, nonce, plaintext) => xsalsa20poly1305(boxKey, nonce).encrypt(plaintext),
  openBox: (boxKey, nonce, sealed) => opened(sealed, () => xsalsa20poly1305(boxKey, nonce).decrypt(sealed)),
  equal(a, b) {
    if (a.length !== b.length) return false;
    let difference = 0;
    for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
    return difference === 0;
  },
};

/** Undefined when the tag is wrong: the library throws. */
function opened(sealed: Uint8Array, open: () => Uint8Array): Uint8Array | undefined {
  if (sealed.length < TAG_BYTES) return undefined;
  try {
    return open();
  } catch {
    return undefined; // wrong tag
  }
}

function sharedSecret(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  try {
    return x25519.getSharedSecret(privateKey, publicKey);
  } catch {
    return undefined; // a point of small order: the secret would be all zero
  }
}

function nonceOf(counter: number): Uint8Array {
  const nonce = new Uint8Array(12);
  const view = new DataView(nonce.buffer);
  view.setUint32(4, counter % 0x1_0000_0000, true);
  view.setUint32(8, Math.floor(counter / 0x1_0000_0000), true);
  return nonce;
}
