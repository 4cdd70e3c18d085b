/**
 * The peers of a page's tunnel. Until one is held they are those that the control plane announces. From then on there is only the
 * held one, with the addresses that it had: nothing that the control plane announces can lead its packets elsewhere. Pure.
 */
import { bytesEqual } from "wg-userspace/base/bytes";
import { keyId, type NodePublicKey } from "wg-userspace/base/keys";
import type { EnginePeer } from "wg-userspace/engine";

export interface PeerOutput {
  setPeer(peer: EnginePeer): void;
  removePeer(key: NodePublicKey): void;
  /** The held peer was replaced or removed: the tunnel has to end. */
  end(): void;
}

export class PeerHold {
  readonly #output: PeerOutput;
  readonly #peers = new Map<string, EnginePeer>();
  #held: EnginePeer | undefined;

  constructor(output: PeerOutput) {
    this.#output = output;
  }

  setPeer(peer: EnginePeer): void {
    const held = this.#held;
    if (held !== undefined && !bytesEqual(peer.publicKey, held.publicKey)) {
      this.#output.end();
      return;
    }
    const kept = held === undefined ? peer : { ...peer, allowedIPs: held.allowedIPs };
    this.#peers.set(keyId(peer.publicKey), kept);
    this.#output.setPeer(kept);
  }

  removePeer(key: NodePublicKey): void {
    if (this.#held !== undefined && bytesEqual(key, this.#held.publicKey)) this.#output.end();
    else if (this.#peers.delete(keyId(key))) this.#output.removePeer(key);
  }

  /** Removes all other peers. @returns Whether the key is that of a peer. */
  hold(key: NodePublicKey): boolean {
    const peer = this.#peers.get(keyId(key));
    if (peer === undefined) return false;
    this.#held = peer;
    for (const [id, other] of this.#peers) {
      if (other === peer) continue;
      this.#peers.delete(id);
      this.#output.removePeer(other.publicKey);
    }
    return true;
  }
}
