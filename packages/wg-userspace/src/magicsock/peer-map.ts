import { bytesEqual } from "../base/bytes.ts";
import { keyId, type NodePublicKey } from "../base/keys.ts";
import { Endpoint } from "./endpoint.ts";
import { type RelayPath, relayPath } from "./path.ts";

/** Finds an {@link Endpoint} by node key, and interns the relay paths that packets of a peer arrive on. */
export class PeerMap {
  readonly #byKey = new Map<string, Entry>();
  #last: Entry | undefined;

  get size(): number {
    return this.#byKey.size;
  }

  add(peer: NodePublicKey): Endpoint {
    const id = keyId(peer);
    let entry = this.#byKey.get(id);
    if (entry === undefined) {
      entry = { endpoint: new Endpoint(peer), relayPaths: new Map() };
      this.#byKey.set(id, entry);
    }
    return entry.endpoint;
  }

  remove(peer: NodePublicKey): boolean {
    this.#last = undefined;
    return this.#byKey.delete(keyId(peer));
  }

  find(peer: Uint8Array): Endpoint | undefined {
    return this.#entry(peer)?.endpoint;
  }

  *[Symbol.iterator](): IterableIterator<Endpoint> {
    for (const { endpoint } of this.#byKey.values()) yield endpoint;
  }

  /** The path of messages that a relay region delivers from this peer; undefined for a peer we do not know. */
  relayPath(regionId: number, peer: Uint8Array): RelayPath | undefined {
    const entry = this.#entry(peer);
    if (entry === undefined) return undefined;
    let path = entry.relayPaths.get(regionId);
    if (path === undefined) {
      path = relayPath(regionId, entry.endpoint.peer);
      entry.relayPaths.set(regionId, path);
    }
    return path;
  }

  /** Text keys are built only when the peer is not the one asked for last. */
  #entry(peer: Uint8Array): Entry | undefined {
    if (this.#last !== undefined && bytesEqual(this.#last.endpoint.peer, peer)) return this.#last;
    const entry = this.#byKey.get(keyId(peer));
    if (entry !== undefined) this.#last = entry;
    return entry;
  }
}

interface Entry {
  readonly endpoint: Endpoint;
  /** By region; bounded by the regions of the map. */
  readonly relayPaths: Map<number, RelayPath>;
}
