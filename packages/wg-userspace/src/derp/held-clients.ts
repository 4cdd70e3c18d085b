import { hexEncode } from "../base/bytes.ts";
import { copyOf } from "./frame.ts";
import type { RelayConnectionState } from "./relay-client.ts";

type Held = NonNullable<RelayConnectionState["held"]>;

/** Clients whose keys may not use the relay yet. Each is held until its key is admitted or its handshake times out. */
export class HeldClients {
  /** By key in hexadecimal: after a restart every client is held until its key becomes known. */
  readonly #byKey = new Map<string, Set<RelayConnectionState>>();

  /** Copies the public key and owns the box key. */
  hold(connection: RelayConnectionState, publicKey: Uint8Array, boxKey: Uint8Array): void {
    connection.held = { publicKey: copyOf(publicKey, 0, publicKey.length), boxKey };
    const key = hexEncode(publicKey);
    const others = this.#byKey.get(key);
    if (others === undefined) this.#byKey.set(key, new Set([connection]));
    else others.add(connection);
  }

  /** Takes out the connections of this key, each with its keys, which the caller then owns. */
  release(publicKey: Uint8Array): (readonly [RelayConnectionState, Held])[] {
    const key = hexEncode(publicKey);
    const connections = this.#byKey.get(key) ?? [];
    this.#byKey.delete(key);
    return [...connections].flatMap((connection) => {
      const { held } = connection;
      connection.held = undefined;
      return held === undefined ? [] : [[connection, held] as const];
    });
  }

  /** Forgets a connection that is over, and wipes its box key. */
  remove(connection: RelayConnectionState): void {
    const { held } = connection;
    if (held === undefined) return;
    const key = hexEncode(held.publicKey);
    const others = this.#byKey.get(key);
    others?.delete(connection);
    if (others?.size === 0) this.#byKey.delete(key);
    held.boxKey.fill(0);
  }
}
