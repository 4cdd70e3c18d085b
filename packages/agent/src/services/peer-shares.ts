/** Places of one service of the tunnel: a total, and a limit per peer. */
import type { Duplex } from "node:stream";

export interface PeerShareLimits {
  readonly total: number;
  readonly perPeer: number;
}

export class PeerShares {
  readonly #limits: PeerShareLimits;
  readonly #byPeer = new Map<string, number>();
  #open = 0;

  constructor(limits: PeerShareLimits) {
    this.#limits = limits;
  }

  get open(): number {
    return this.#open;
  }

  /** Takes a place until {@link release} is called with the same peer. Returns false when none is free. */
  take(peer: string): boolean {
    const ofPeer = this.#of(peer);
    if (this.#open >= this.#limits.total || ofPeer >= this.#limits.perPeer) return false;
    this.#open++;
    this.#byPeer.set(peer, ofPeer + 1);
    return true;
  }

  release(peer: string): void {
    this.#open--;
    const left = this.#of(peer) - 1;
    if (left === 0) this.#byPeer.delete(peer);
    else this.#byPeer.set(peer, left);
  }

  /** Whether a peer holds its whole share, even if places are free. */
  hasWholeShare(peer: string): boolean {
    return this.#of(peer) >= this.#limits.perPeer;
  }

  /** Takes a place until the stream closes. Returns false, and destroys the stream, when none was free. */
  admit(stream: Duplex, peer: string): boolean {
    if (this.take(peer)) {
      stream.once("close", () => this.release(peer));
      return true;
    }
    stream.on("error", () => undefined); // the peer may already be gone
    stream.destroy();
    return false;
  }

  #of(peer: string): number {
    return this.#byPeer.get(peer) ?? 0;
  }
}
