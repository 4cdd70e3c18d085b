/**
 * Who is reachable through the relay: for every key its connections, the forwarders of a mesh, and which keys sent to
 * which, so that the right ones hear when a client leaves.
 */
import type { RelayConnectionState } from "./relay-client.ts";
import type { PacketForwarder } from "./relay-types.ts";

/** Everything known under one key. Exists while it has a connection or a forwarder. */
export class RelayPeer {
  /** Owned; also the source key in front of every packet it sends. */
  readonly key: Uint8Array;
  /** Least recently active first: the last one is the active one. */
  readonly connections: RelayConnectionState[] = [];
  /** Earliest registered first. */
  readonly forwarders: PacketForwarder[] = [];
  /** Peers that got a packet from this one since it connected, and the reverse. */
  sentTo: Set<RelayPeer> | undefined;
  heardFrom: Set<RelayPeer> | undefined;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  /**
   * The connection that gets this peer's traffic. Fixed rule for a key used twice: the one that connected or sent a frame
   * last.
   */
  get active(): RelayConnectionState | undefined {
    return this.connections[this.connections.length - 1];
  }

  noteActivity(connection: RelayConnectionState): void {
    const { connections } = this;
    if (connections.length < 2 || connections[connections.length - 1] === connection) return;
    connections.splice(connections.indexOf(connection), 1);
    connections.push(connection);
  }

  noteSent(to: RelayPeer, limit: number): void {
    if (this.sentTo?.has(to)) return;
    if ((this.sentTo?.size ?? 0) >= limit) return;
    this.sentTo ??= new Set();
    this.sentTo.add(to);
    to.heardFrom ??= new Set();
    to.heardFrom.add(this);
  }

  /** Unlinks this peer from all others. Returns the peers that had heard from it. */
  forgetLinks(): Iterable<RelayPeer> {
    const told = this.sentTo ?? [];
    for (const peer of told) peer.heardFrom?.delete(this);
    for (const peer of this.heardFrom ?? []) peer.sentTo?.delete(this);
    this.sentTo = undefined;
    this.heardFrom = undefined;
    return told;
  }
}
