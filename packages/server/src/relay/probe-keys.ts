import { hexDecode } from "wg-userspace/base/bytes";
import { clampPrivateKey } from "wg-userspace/base/keys";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/host/crypto-suite";

export interface ProbeKey {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  /** From now on the relay refuses the key. */
  giveBack(): void;
}

interface ProbeGate {
  admitHeld(publicKey: Uint8Array): void;
  revoke(publicKey: Uint8Array): void;
}

/** How long another server's key is admitted: as long as its check may take. */
const REMOTE_MS = 60_000;
/** Keys of other servers; beyond this number the oldest is removed. */
const MAX_REMOTE = 4_096;

/**
 * Keys that the server's own checks use: the relay admits them although the coordinator does not know them. Behind a balancer a
 * check may reach the relay of any server, so the other servers are informed of them.
 */
export class ProbeKeys {
  readonly #lent = new Set<string>();
  /** Keys of other servers, oldest first, with the time until which they are valid, by performance.now(). */
  readonly #remote = new Map<string, number>();
  #onLend: (publicKeyHex: string) => void = () => undefined;
  #gate: ProbeGate | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** From now on the relays of workspace proxies are informed of the keys as well. */
  guard(gate: ProbeGate): void {
    this.#gate = gate;
  }

  /** In hex: the keys that are lent here or by other servers. */
  list(): string[] {
    this.#forgetRemote();
    return [...this.#lent, ...this.#remote.keys()];
  }

  /** @param listener Called for each key that is lent here. */
  onLend(listener: (publicKeyHex: string) => void): void {
    this.#onLend = listener;
  }

  /** Returns a fresh key, which is admitted until it is given back. */
  lend(): ProbeKey {
    const privateKey = clampPrivateKey(nodeRandom.bytes(32));
    const publicKey = nodeCryptoSuite.publicKey(privateKey);
    const text = Buffer.from(publicKey).toString("hex");
    this.#lent.add(text);
    this.#onLend(text);
    this.#gate?.admitHeld(publicKey);
    const giveBack = (): void => {
      this.#lent.delete(text);
      this.#gate?.revoke(publicKey);
    };
    return { privateKey, publicKey, giveBack };
  }

  /** Another server is checking with this key now. */
  lentBySibling(publicKeyHex: string): void {
    this.#remote.delete(publicKeyHex);
    this.#remote.set(publicKeyHex, performance.now() + REMOTE_MS);
    this.#gate?.admitHeld(hexDecode(publicKeyHex));
    this.#forgetRemote();
  }

  admits(publicKey: Uint8Array): boolean {
    if (this.#lent.size === 0 && this.#remote.size === 0) return false;
    const text = Buffer.from(publicKey).toString("hex");
    return this.#lent.has(text) || (this.#remote.get(text) ?? 0) > performance.now();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** Removes keys of other servers that have expired or exceed the limit. */
  #forgetRemote(): void {
    const now = performance.now();
    for (const [oldest, until] of this.#remote) {
      if (until > now && this.#remote.size <= MAX_REMOTE) break;
      this.#remote.delete(oldest);
      this.#gate?.revoke(hexDecode(oldest));
    }
    clearTimeout(this.#timer);
    const [first] = this.#remote.values();
    if (first === undefined) return;
    this.#timer = setTimeout(() => this.#forgetRemote(), Math.max(1, Math.ceil(first - now)));
    this.#timer.unref();
  }
}
