/**
 * Noise_IKpsk2 as WireGuard uses it: the chaining key and transcript hash of one handshake, one method per token.
 *
 *     <- s
 *     -> e, es, s, ss, {timestamp}
 *     <- e, ee, se, psk, {}
 */
import { hexDecode, wipe } from "../base/bytes.ts";
import type { CryptoSuite } from "../base/ports.ts";

export const CONSTRUCTION = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
export const IDENTIFIER = "WireGuard v1 zx2c4 Jason@zx2c4.com";
/** HASH(CONSTRUCTION). */
export const INITIAL_CHAINING_KEY = hexDecode("60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36");
/** HASH(INITIAL_CHAINING_KEY ‖ IDENTIFIER). */
export const INITIAL_HASH = hexDecode("2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3");

const EMPTY = new Uint8Array(0);
const ONE = Uint8Array.of(1);
const TWO = Uint8Array.of(2);
const THREE = Uint8Array.of(3);

export function kdf1(crypto: CryptoSuite, key: Uint8Array, input: Uint8Array): Uint8Array {
  const prk = crypto.hmacBlake2s(key, input);
  const first = crypto.hmacBlake2s(prk, ONE);
  wipe(prk);
  return first;
}

export function kdf2(crypto: CryptoSuite, key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const prk = crypto.hmacBlake2s(key, input);
  const first = crypto.hmacBlake2s(prk, ONE);
  const second = crypto.hmacBlake2s(prk, first, TWO);
  wipe(prk);
  return [first, second];
}

export function kdf3(crypto: CryptoSuite, key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const prk = crypto.hmacBlake2s(key, input);
  const first = crypto.hmacBlake2s(prk, ONE);
  const second = crypto.hmacBlake2s(prk, first, TWO);
  const third = crypto.hmacBlake2s(prk, second, THREE);
  wipe(prk);
  return [first, second, third];
}

/** Every value that a method replaces is wiped at once; wipe() wipes the rest. */
export class SymmetricState {
  readonly #crypto: CryptoSuite;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;

  private constructor(crypto: CryptoSuite, chainingKey: Uint8Array, hash: Uint8Array) {
    this.#crypto = crypto;
    this.#chainingKey = chainingKey;
    this.#hash = hash;
  }

  /** State before the first message: the responder's static key is known to both sides. */
  static start(crypto: CryptoSuite, responderStatic: Uint8Array): SymmetricState {
    return new SymmetricState(crypto, INITIAL_CHAINING_KEY.slice(), crypto.blake2s(INITIAL_HASH, responderStatic));
  }

  clone(): SymmetricState {
    return new SymmetricState(this.#crypto, this.#chainingKey.slice(), this.#hash.slice());
  }

  /** Token e: an ephemeral public key, which WireGuard mixes into both hash and chaining key. */
  ephemeral(publicKey: Uint8Array): void {
    this.#mixHash(publicKey);
    this.#setChainingKey(kdf1(this.#crypto, this.#chainingKey, publicKey));
  }

  /** Tokens es and ss: mixes a shared secret and yields the key of the field that follows; owned by the caller. */
  secretForKey(shared: Uint8Array): Uint8Array {
    const [chainingKey, key] = kdf2(this.#crypto, this.#chainingKey, shared);
    this.#setChainingKey(chainingKey);
    return key;
  }

  /** Tokens ee and se: mixes a shared secret; the psk token yields the key. */
  secret(shared: Uint8Array): void {
    this.#setChainingKey(kdf1(this.#crypto, this.#chainingKey, shared));
  }

  /** Token psk; yields the key of the field that follows. */
  presharedKey(psk: Uint8Array): Uint8Array {
    const [chainingKey, tau, key] = kdf3(this.#crypto, this.#chainingKey, psk);
    this.#setChainingKey(chainingKey);
    this.#mixHash(tau);
    wipe(tau);
    return key;
  }

  /** Encrypts a field under a key that is used once, and wipes that key. */
  encrypt(key: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const sealed = this.#crypto.seal(key, 0, plaintext, this.#hash);
    wipe(key);
    this.#mixHash(sealed);
    return sealed;
  }

  /** Reverse of encrypt. Undefined when the tag is wrong; the state is then useless. Wipes the key either way. */
  decrypt(key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const plaintext = this.#crypto.open(key, 0, sealed, this.#hash);
    wipe(key);
    if (plaintext !== undefined) this.#mixHash(sealed);
    return plaintext;
  }

  /** Transport keys: the initiator sends with the first and receives with the second. Owned by the caller. */
  split(): [Uint8Array, Uint8Array] {
    return kdf2(this.#crypto, this.#chainingKey, EMPTY);
  }

  wipe(): void {
    wipe(this.#chainingKey, this.#hash);
  }

  #mixHash(data: Uint8Array): void {
    const hash = this.#crypto.blake2s(this.#hash, data);
    wipe(this.#hash);
    this.#hash = hash;
  }

  #setChainingKey(chainingKey: Uint8Array): void {
    wipe(this.#chainingKey);
    this.#chainingKey = chainingKey;
  }
}
