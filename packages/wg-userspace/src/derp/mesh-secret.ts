import { utf8 } from "../base/bytes.ts";
import type { CryptoSuite } from "../base/ports.ts";
import type { ClientInfo } from "./handshake.ts";

/** The secret by which the relays of one region know each other, kept and compared as a hash. Without one there is no mesh. */
export class MeshSecret {
  readonly #crypto: CryptoSuite;
  #hash: Uint8Array | undefined;

  constructor(crypto: CryptoSuite, meshKey: string | undefined) {
    this.#crypto = crypto;
    this.#hash = this.#hashOf(meshKey);
  }

  /** Returns whether the secret changed. */
  replace(meshKey: string | undefined): boolean {
    const before = this.#hash;
    const after = this.#hashOf(meshKey);
    this.#hash = after;
    if (before === undefined || after === undefined) return before !== after;
    return !this.#crypto.equal(before, after);
  }

  isProvenBy(info: ClientInfo): boolean {
    if (this.#hash === undefined || info.meshKey === undefined) return false;
    return this.#crypto.equal(this.#hash, this.#crypto.blake2s(utf8(info.meshKey)));
  }

  #hashOf(meshKey: string | undefined): Uint8Array | undefined {
    return meshKey ? this.#crypto.blake2s(utf8(meshKey)) : undefined;
  }
}
