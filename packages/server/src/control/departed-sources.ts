/**
 * The holders of tunnels that have ended, by destination and address: an agent reports a connection some time after it began, and
 * by then a short one's client has left.
 */
import type { Node } from "coder-protocol/gen/tailnet_pb.js";
import type { PeerAuth } from "./peer-auth.ts";
import { addressesOf } from "./peer-state.ts";

/** An agent repeats a report until the server has stored it, so one may come minutes late. */
const KEEP_MS = 15 * 60_000;
/** Addresses kept for one destination; beyond that the one that left first is removed. */
const MAX_ADDRESSES = 64;

interface Departed {
  readonly auth: PeerAuth;
  readonly until: number;
}

export class DepartedSources {
  readonly #byDestination = new Map<string, Map<string, Departed>>();

  /** The tunnel of a peer to the destination has ended. */
  left(
    destination: string,
    { auth, node }: { readonly auth: PeerAuth; readonly node: Node | undefined },
    nowMs: number,
  ) {
    const addresses = addressesOf(node);
    if (addresses.length === 0) return;
    const departed = this.#byDestination.get(destination) ?? new Map<string, Departed>();
    this.#byDestination.set(destination, departed);
    for (const address of addresses) {
      departed.delete(address); // the order of the map is that of leaving
      departed.set(address, { auth, until: nowMs + KEEP_MS });
      if (departed.size > MAX_ADDRESSES) departed.delete(departed.keys().next().value!);
    }
  }

  /** Who had this address last, in the form that formatIp writes. */
  at(destination: string, address: string): PeerAuth | undefined {
    return this.#byDestination.get(destination)?.get(address)?.auth;
  }

  /** Forgets what has expired. */
  sweep(nowMs: number): void {
    for (const [destination, departed] of this.#byDestination) {
      for (const [address, { until }] of departed) {
        if (until > nowMs) break;
        departed.delete(address);
      }
      if (departed.size === 0) this.#byDestination.delete(destination);
    }
  }
}
