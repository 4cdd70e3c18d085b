/**
 * The holders of tunnels that have ended, by destination and address: an agent reports a connection some time after it began, and
 * by then a short one's client has left.
 */
import type { Node } from "coder-protocol/gen/tailnet_pb.js";
import type { PeerAuth } from "./peer-auth.ts";
import { addressesOf } from "./peer-state.ts";

/** An agent repeats a report until the server has stored it, so one may come minutes late. */
const KEEP_MS = 15 * 60_000;
/** Addresses kept for one holder, so that none takes the room of others; beyond that the one that left first is removed. */
const MAX_PER_HOLDER = 64;
/** Of all holders together. */
const MAX_ADDRESSES = 16_384;

interface Departed {
  readonly auth: PeerAuth;
  readonly until: number;
}

export class DepartedSources {
  /** By destination and address, in the order of leaving. */
  readonly #departed = new Map<string, Departed>();
  /** The keys of each holder's entries, in the same order. */
  readonly #keys = new Map<string, Set<string>>();

  /** The tunnel of a peer to the destination has ended. */
  left(
    destination: string,
    { auth, node }: { readonly auth: PeerAuth; readonly node: Node | undefined },
    nowMs: number,
  ) {
    for (const address of addressesOf(node)) {
      const key = keyOf(destination, address);
      this.#remove(key);
      this.#departed.set(key, { auth, until: nowMs + KEEP_MS });
      const own = this.#keys.get(auth.holder) ?? new Set();
      this.#keys.set(auth.holder, own.add(key));
      if (own.size > MAX_PER_HOLDER) this.#remove(own.keys().next().value!);
      if (this.#departed.size > MAX_ADDRESSES) this.#remove(this.#departed.keys().next().value!);
    }
  }

  /** Who had this address last, in the form that formatIp writes. */
  at(destination: string, address: string): PeerAuth | undefined {
    return this.#departed.get(keyOf(destination, address))?.auth;
  }

  /** Forgets what has expired. */
  sweep(nowMs: number): void {
    for (const [key, { until }] of this.#departed) {
      if (until > nowMs) return;
      this.#remove(key);
    }
  }

  #remove(key: string): void {
    const departed = this.#departed.get(key);
    if (departed === undefined) return;
    this.#departed.delete(key);
    const { holder } = departed.auth;
    const own = this.#keys.get(holder);
    own?.delete(key);
    if (own?.size === 0) this.#keys.delete(holder);
  }
}

function keyOf(destination: string, address: string): string {
  return `${destination} ${address}`;
}
