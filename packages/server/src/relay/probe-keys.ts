import { clampPrivateKey } from "wg-userspace/base/keys";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";

export interface ProbeKey {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  /** The relay does not let it in any more. */
  giveBack(): void;
}

/** Keys of our own checks: the embedded relay lets them in although the coordinator does not know them. */
export class ProbeKeys {
  readonly #lent = new Set<string>();

  /** A fresh key, admitted until it is given back. */
  lend(): ProbeKey {
    const privateKey = clampPrivateKey(nodeRandom.bytes(32));
    const publicKey = nodeCryptoSuite.publicKey(privateKey);
    const text = Buffer.from(publicKey).toString("hex");
    this.#lent.add(text);
    return { privateKey, publicKey, giveBack: () => void this.#lent.delete(text) };
  }

  admits(publicKey: Uint8Array): boolean {
    return this.#lent.size > 0 && this.#lent.has(Buffer.from(publicKey).toString("hex"));
  }
}
