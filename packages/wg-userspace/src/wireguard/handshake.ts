/** The two roles of one handshake. Both hold secrets until wiped and serve exactly one handshake. */
import { wipe } from "../base/bytes.ts";
import { clampPrivateKey, type NodePrivateKey, type NodePublicKey } from "../base/keys.ts";
import type { CryptoSuite, RandomSource } from "../base/ports.ts";
import { type Initiation, type Response, writeInitiation, writeResponse } from "./messages.ts";
import { SymmetricState } from "./noise.ts";

/** Our side of every handshake of a device. */
export interface LocalIdentity {
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  readonly privateKey: NodePrivateKey;
  readonly publicKey: NodePublicKey;
}

/** What a handshake has to know of the other side. */
export interface RemoteIdentity {
  readonly publicKey: NodePublicKey;
  /** X25519 of both static keys; undefined when it is all zero, which fails every handshake. */
  readonly staticSecret: Uint8Array | undefined;
}

export interface TransportKeys {
  readonly send: Uint8Array;
  readonly receive: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** Waits for the response to one initiation. */
export class InitiatorHandshake {
  /** The receiver index the response must carry. */
  readonly localIndex: number;
  readonly #identity: LocalIdentity;
  readonly #ephemeralPrivate: Uint8Array;
  readonly #state: SymmetricState;

  private constructor(
    identity: LocalIdentity,
    localIndex: number,
    ephemeralPrivate: Uint8Array,
    state: SymmetricState,
  ) {
    this.#identity = identity;
    this.localIndex = localIndex;
    this.#ephemeralPrivate = ephemeralPrivate;
    this.#state = state;
  }

  /**
   * Writes an initiation without its macs into `out`.
   * @returns undefined when a shared secret is all zero: the peer's key is unusable and nothing may be sent.
   */
  static start(
    identity: LocalIdentity,
    remote: RemoteIdentity,
    localIndex: number,
    timestamp: Uint8Array,
    out: Uint8Array,
  ): InitiatorHandshake | undefined {
    const { crypto } = identity;
    const ephemeralPrivate = clampedRandom(identity.random);
    const secret = crypto.sharedSecret(ephemeralPrivate, remote.publicKey);
    if (secret === undefined || remote.staticSecret === undefined) {
      wipe(ephemeralPrivate);
      return undefined;
    }
    const ephemeral = crypto.publicKey(ephemeralPrivate);
    const state = SymmetricState.start(crypto, remote.publicKey);
    state.ephemeral(ephemeral);
    const sealedStatic = state.encrypt(state.secretForKey(secret), identity.publicKey);
    wipe(secret);
    const sealedTimestamp = state.encrypt(state.secretForKey(remote.staticSecret), timestamp);
    writeInitiation(out, localIndex, ephemeral, sealedStatic, sealedTimestamp);
    return new InitiatorHandshake(identity, localIndex, ephemeralPrivate, state);
  }

  /** Transport keys, or undefined when the response is not authentic; the handshake then keeps waiting unchanged. */
  finish(response: Response, psk: Uint8Array): TransportKeys | undefined {
    const { crypto, privateKey } = this.#identity;
    const ephemeralSecret = crypto.sharedSecret(this.#ephemeralPrivate, response.ephemeral);
    const staticSecret = crypto.sharedSecret(privateKey, response.ephemeral);
    if (ephemeralSecret === undefined || staticSecret === undefined) return undefined;
    const state = this.#state.clone();
    state.ephemeral(response.ephemeral);
    state.secret(ephemeralSecret);
    state.secret(staticSecret);
    wipe(ephemeralSecret, staticSecret);
    const empty = state.decrypt(state.presharedKey(psk), response.sealedEmpty);
    const keys = empty === undefined ? undefined : state.split();
    state.wipe();
    return keys === undefined ? undefined : { send: keys[0], receive: keys[1] };
  }

  wipe(): void {
    wipe(this.#ephemeralPrivate);
    this.#state.wipe();
  }
}

/** Processes one initiation step by step as the peer becomes known, then answers it. */
export class ResponderHandshake {
  /** The claimed sender of the initiation; proven only by openTimestamp. */
  readonly claimedStatic: Uint8Array;
  readonly #identity: LocalIdentity;
  readonly #initiation: Initiation;
  readonly #state: SymmetricState;

  private constructor(
    identity: LocalIdentity,
    initiation: Initiation,
    state: SymmetricState,
    claimedStatic: Uint8Array,
  ) {
    this.#identity = identity;
    this.#initiation = initiation;
    this.#state = state;
    this.claimedStatic = claimedStatic;
  }

  /** Decrypts the initiator's static key; undefined when that fails. Borrows the initiation until wipe(). */
  static open(identity: LocalIdentity, initiation: Initiation): ResponderHandshake | undefined {
    const { crypto, privateKey, publicKey } = identity;
    const secret = crypto.sharedSecret(privateKey, initiation.ephemeral);
    if (secret === undefined) return undefined;
    const state = SymmetricState.start(crypto, publicKey);
    state.ephemeral(initiation.ephemeral);
    const claimedStatic = state.decrypt(state.secretForKey(secret), initiation.sealedStatic);
    wipe(secret);
    if (claimedStatic === undefined) {
      state.wipe();
      return undefined;
    }
    return new ResponderHandshake(identity, initiation, state, claimedStatic);
  }

  /** Decrypts the timestamp, which proves the initiator's static key. Undefined when that fails. */
  openTimestamp(staticSecret: Uint8Array | undefined): Uint8Array | undefined {
    if (staticSecret === undefined) return undefined;
    return this.#state.decrypt(this.#state.secretForKey(staticSecret), this.#initiation.sealedTimestamp);
  }

  /** Writes the response without its macs into `out`. Undefined when a shared secret is all zero. */
  respond(localIndex: number, psk: Uint8Array, out: Uint8Array): TransportKeys | undefined {
    const { crypto, random } = this.#identity;
    const ephemeralPrivate = clampedRandom(random);
    const ephemeralSecret = crypto.sharedSecret(ephemeralPrivate, this.#initiation.ephemeral);
    const staticSecret = crypto.sharedSecret(ephemeralPrivate, this.claimedStatic);
    const ephemeral = crypto.publicKey(ephemeralPrivate);
    wipe(ephemeralPrivate);
    if (ephemeralSecret === undefined || staticSecret === undefined) return undefined;
    const state = this.#state;
    state.ephemeral(ephemeral);
    state.secret(ephemeralSecret);
    state.secret(staticSecret);
    wipe(ephemeralSecret, staticSecret);
    const sealedEmpty = state.encrypt(state.presharedKey(psk), EMPTY);
    writeResponse(out, localIndex, this.#initiation.senderIndex, ephemeral, sealedEmpty);
    const [receive, send] = state.split();
    return { send, receive };
  }

  wipe(): void {
    this.#state.wipe();
  }
}

function clampedRandom(random: RandomSource): Uint8Array {
  const seed = random.bytes(32);
  const key = clampPrivateKey(seed);
  wipe(seed);
  return key;
}
