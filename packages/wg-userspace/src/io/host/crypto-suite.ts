/**
 * CryptoSuite and RandomSource on node:crypto, with @noble for what OpenSSL lacks: keyed BLAKE2s, XChaCha20 and the
 * XSalsa20 box. None of these run per packet.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import { blake2s } from "@noble/hashes/blake2.js";
import { boxKeyOf } from "../../aead/box-key.ts";
import type { CryptoSuite, RandomSource } from "../../base/ports.ts";

const PKCS8_X25519 = Buffer.from("302e020100300506032b656e04220420", "hex");
const SPKI_X25519 = Buffer.from("302a300506032b656e032100", "hex");
const TAG_BYTES = 16;

export const nodeRandom: RandomSource = {
  bytes: (length) => new Uint8Array(randomBytes(length)),
  uint32: () => randomBytes(4).readUInt32LE(0),
};

export const nodeCryptoSuite: CryptoSuite = {
  publicKey(privateKey) {
    const spki = createPublicKey(importPrivate(privateKey)).export({ format: "der", type: "spki" });
    return new Uint8Array(spki.subarray(SPKI_X25519.length));
  },
  sharedSecret: x25519,
  blake2s(...parts) {
    const hash = createHash("blake2s256");
    for (const part of parts) hash.update(part);
    return new Uint8Array(hash.digest());
  },
  hmacBlake2s(key, ...parts) {
    const hmac = createHmac("blake2s256", key);
    for (const part of parts) hmac.update(part);
    return new Uint8Array(hmac.digest());
  },
  macBlake2s(key, ...parts) {
    const mac = blake2s.create({ key, dkLen: 16 });
    for (const part of parts) mac.update(part);
    return mac.digest();
  },
  seal(key, counter, plaintext, ad) {
    const cipher = createCipheriv("chacha20-poly1305", key, nonceOf(counter), { authTagLength: TAG_BYTES });
    cipher.setAAD(ad, { plaintextLength: plaintext.length });
    const body = cipher.update(plaintext);
    cipher.final();
    return new Uint8Array(Buffer.concat([body, cipher.getAuthTag()]));
  },
  open(key, counter, sealed, ad) {
    if (sealed.length < TAG_BYTES) return undefined;
    const body = sealed.subarray(0, sealed.length - TAG_BYTES);
    const decipher = createDecipheriv("chacha20-poly1305", key, nonceOf(counter), { authTagLength: TAG_BYTES });
    decipher.setAAD(ad, { plaintextLength: body.length });
    decipher.setAuthTag(sealed.subarray(body.length));
    const plaintext = decipher.update(body);
    try {
      decipher.final();
    } catch {
      plaintext.fill(0); // wrong tag: the bytes must not be seen
      return undefined;
    }
    return new Uint8Array(plaintext);
  },
  sealX: (key, nonce, plaintext, ad) => xchacha20poly1305(key, nonce, ad).encrypt(plaintext),
  openX(key, nonce, sealed, ad) {
    if (sealed.length < TAG_BYTES) return undefined;
    try {
      return xchacha20poly1305(key, nonce, ad).decrypt(sealed);
    } catch {
      return undefined; // wrong tag
    }
  },
  boxKey(privateKey, publicKey) {
    const shared = x25519(privateKey, publicKey);
    return shared === undefined ? undefined : boxKeyOf(shared);
  },
  sealBox: (boxKey, nonce, plaintext) => xsalsa20poly1305(boxKey, nonce).encrypt(plaintext),
  openBox(boxKey, nonce, sealed) {
    if (sealed.length < TAG_BYTES) return undefined;
    try {
      return xsalsa20poly1305(boxKey, nonce).decrypt(sealed);
    } catch {
      return undefined; // wrong tag
    }
  },
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};

function importPrivate(privateKey: Uint8Array) {
  return createPrivateKey({ key: Buffer.concat([PKCS8_X25519, privateKey]), format: "der", type: "pkcs8" });
}

function x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  const theirs = createPublicKey({ key: Buffer.concat([SPKI_X25519, publicKey]), format: "der", type: "spki" });
  try {
    return new Uint8Array(diffieHellman({ privateKey: importPrivate(privateKey), publicKey: theirs }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_OSSL_FAILED_DURING_DERIVATION") return undefined;
    throw error;
  }
}

function nonceOf(counter: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(counter % 0x1_0000_0000, 4);
  nonce.writeUInt32LE(Math.floor(counter / 0x1_0000_0000), 8);
  return nonce;
}
