/**
 * Which keys are reachable through the relay: for every key its connections, the forwarders of a mesh, and the keys that
 * sent packets to each other, which are the ones to notify when a client leaves.
 */
import type { PacketForwarder } from "./relay-types.ts";

/** Everything known under one key. Exists while it has a connection or a forwarder. */
export class RelayPeer<Connection> {
  /** Owned; also the source key in front of every packet it sends. */
  readonly key: Uint8Array;
  /** Least recently active first: the last one is the active one. */
  readonly connections: Connection[] = [];
  /** Earliest registered first. */
  readonly forwarders: PacketForwarder[] = [];
  /** Peers that this one sent a packet to since it connected, and peers that sent one to it. */
  sentTo: Set<RelayPeer<Connection>> | undefined;
  heardFrom: Set<RelayPeer<Connection>> | undefined;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  /**
   * The connection that gets this peer's packets. If a key is used twice, that is the connection that was opened or sent a
   * frame last.
   */
  get active(): Connection | undefined {
    return this.connections[this.connections.length - 1];
  }

  noteActivity(connection: Connection): void {
    const { connections } = this;
    if (connections.length < 2 || connections[connections.length - 1] === connection) return;
    connections.splice(connections.indexOf(connection), 1);
    connections.push(connection);
  }

  noteSent(to: RelayPeer<Connection>, limit: number): void {
    if (this.sentTo?.has(to)) return;
    if ((this.sentTo?.size ?? 0) >= limit) return;
    this.sentTo ??= new Set();
    this.sentTo.add(to);
    to.heardFrom ??= new Set();
    to.heardFrom.add(this);
  }

  /** Unlinks this peer from all others. Returns the peers that it had sent packets to. */
  forgetLinks(): Iterable<RelayPeer<Connection>> {
    const reached = this.sentTo ?? [];
    for (const peer of reached) peer.heardFrom?.delete(this);
    for (const peer of this.heardFrom ?? []) peer.sentTo?.delete(this);
    this.sentTo = undefined;
    this.heardFrom = undefined;
    return reached;
  }
}
