/** Connections of one service of the tunnel: so many at once, and of one peer a share of them. */
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

  /** Takes a place until the stream closes. False: there is none, and the stream was destroyed. */
  admit(stream: Duplex, peer: string): boolean {
    const ofPeer = this.#byPeer.get(peer) ?? 0;
    if (this.#open >= this.#limits.total || ofPeer >= this.#limits.perPeer) {
      stream.on("error", () => undefined); // the peer may have gone already
      stream.destroy();
      return false;
    }
    this.#open++;
    this.#byPeer.set(peer, ofPeer + 1);
    stream.once("close", () => {
      this.#open--;
      const left = (this.#byPeer.get(peer) ?? 1) - 1;
      if (left === 0) this.#byPeer.delete(peer);
      else this.#byPeer.set(peer, left);
    });
    return true;
  }
}
