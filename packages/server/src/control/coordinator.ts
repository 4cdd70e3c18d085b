/**
 * Who may know whom: peers, their latest nodes, and directed tunnels between them. Nodes are exchanged both ways over a
 * tunnel. A state machine without I/O; answers leave through each peer's sink, synchronously. Semantics:
 * docs/protocols/coordination.md and docs/decisions/004-coordinator.md.
 */
import { equals, type MessageInitShape } from "@bufbuild/protobuf";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import {
  type CoordinateRequest,
  type CoordinateResponseSchema,
  CoordinateResponse_PeerUpdate_Kind as Kind,
  type Node,
  NodeSchema,
} from "coder-protocol/gen/tailnet_pb.js";
import { nodeFromProto } from "coder-protocol/tailnet/node";
import type { PeerAuth } from "./peer-auth.ts";

type Response = MessageInitShape<typeof CoordinateResponseSchema>;

/** How a peer is answered. */
export interface PeerSink {
  /** False when the peer does not keep up: it is removed then. */
  send(response: Response): boolean;
  /** The coordinator is done with this peer; what was sent before still has to arrive. */
  end(): void;
}

export interface CoordinatorEvents {
  /** A node key came into use: its owner may use the relay. */
  onKey?(publicKey: Uint8Array): void;
  /** Nobody uses the key any more, and its tunnels had their time. */
  onKeyGone?(publicKey: Uint8Array): void;
}

/** A key may go on using the relay this long after its control connection was lost: tunnels outlive it. */
const LOST_KEY_GRACE_MS = 15 * 60_000;
const MAX_TUNNELS_PER_PEER = 1024;

interface PeerState {
  readonly id: string;
  readonly auth: PeerAuth;
  readonly sink: PeerSink;
  readonly connectedAtMs: number;
  node: Node | undefined;
  /** When it last told us its node. */
  nodeAtMs: number;
  /** What this peer was last told about each other peer. */
  readonly told: Map<string, Told>;
}

type Told = { readonly node: Node } | "gone";

/** One connected peer as debug pages show it. */
export interface PeerDescription {
  readonly id: string;
  readonly kind: PeerAuth["kind"];
  readonly connectedAtMs: number;
  readonly node: Node | undefined;
  readonly nodeAtMs: number;
  /** Destinations, connected or not. */
  readonly tunnelsTo: readonly string[];
}

/** One connected peer, as its service holds it. */
export interface PeerHandle {
  /** Handles one request, its parts in the documented order. */
  handle(request: CoordinateRequest, nowMs: number): void;
  /** The stream ended without a goodbye. */
  lost(nowMs: number): void;
}

export class Coordinator {
  readonly #events: CoordinatorEvents;
  readonly #peers = new Map<string, PeerState>();
  /** Source to destinations. A destination may be absent; tunnels to it outlive its connection. */
  readonly #tunnels = new Map<string, Set<string>>();
  readonly #incoming = new Map<string, Set<string>>();
  /** Node keys in use: how many peers use one, or until when a lost one may. */
  readonly #keys = new Map<string, { users: number; until: number }>();

  constructor(events: CoordinatorEvents = {}) {
    this.#events = events;
  }

  get peerCount(): number {
    return this.#peers.size;
  }

  get tunnelCount(): number {
    let count = 0;
    for (const destinations of this.#tunnels.values()) count += destinations.size;
    return count;
  }

  describe(): PeerDescription[] {
    return [...this.#peers.values()].map((peer) => ({
      id: peer.id,
      kind: peer.auth.kind,
      connectedAtMs: peer.connectedAtMs,
      node: peer.node,
      nodeAtMs: peer.nodeAtMs,
      tunnelsTo: this.tunnelsOf(peer.id),
    }));
  }

  /** Where a peer has tunnels to. */
  tunnelsOf(id: string): string[] {
    return [...(this.#tunnels.get(id) ?? [])];
  }

  /** Connected peers that have a tunnel to `id`. */
  sourcesOf(id: string): string[] {
    return [...(this.#incoming.get(id) ?? [])].filter((source) => this.#peers.has(source));
  }

  isConnected(id: string): boolean {
    return this.#peers.has(id);
  }

  /** Latest node of a connected peer. */
  node(id: string): Node | undefined {
    return this.#peers.get(id)?.node;
  }

  /** Whether a relay client with this key is one of ours. */
  knowsKey(publicKey: Uint8Array, nowMs: number): boolean {
    const entry = this.#keys.get(keyText(publicKey));
    return entry !== undefined && (entry.users > 0 || entry.until > nowMs);
  }

  connect(id: string, auth: PeerAuth, sink: PeerSink, nowMs: number): PeerHandle {
    const old = this.#peers.get(id);
    if (old !== undefined) {
      old.sink.send({ error: "peer ID overwritten by new connection" });
      old.sink.end();
      this.#releaseKey(old, nowMs);
    }
    const peer: PeerState = {
      id,
      auth,
      sink,
      connectedAtMs: nowMs,
      node: undefined,
      nodeAtMs: nowMs,
      told: new Map(),
    };
    this.#peers.set(id, peer);
    this.#tell(
      peer,
      [...this.#partners(id)]
        .flatMap((other) => this.#peers.get(other) ?? [])
        .filter((other) => other.node !== undefined),
      nowMs,
    );
    return {
      handle: (request, now) => {
        if (this.#peers.get(id) === peer) this.#handle(peer, request, now);
      },
      lost: (now) => {
        if (this.#peers.get(id) === peer) this.#remove(peer, Kind.LOST, "lost", now);
      },
    };
  }

  /** Takes the right to a tunnel away: both sides are told, the stream of `source` ends. */
  expel(id: string, reason: string, nowMs: number): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.sink.send({ error: reason });
    peer.sink.end();
    this.#remove(peer, Kind.DISCONNECTED, reason, nowMs);
    // Its tunnels are over for good: the relay must not carry them on.
    this.#expireKey(peer);
  }

  /** Forgets keys whose time is over. Call now and then. */
  sweep(nowMs: number): void {
    for (const [text, entry] of this.#keys) if (entry.users === 0 && entry.until <= nowMs) this.#forgetKey(text);
  }

  #handle(peer: PeerState, request: CoordinateRequest, nowMs: number): void {
    try {
      if (request.updateSelf?.node !== undefined) this.#updateSelf(peer, request.updateSelf.node, nowMs);
      if (request.addTunnel !== undefined) this.#addTunnel(peer, idOf(request.addTunnel.id), nowMs);
      if (request.removeTunnel !== undefined) this.#removeTunnel(peer, idOf(request.removeTunnel.id), nowMs);
      if (request.disconnect !== undefined) {
        peer.sink.end();
        this.#remove(peer, Kind.DISCONNECTED, "graceful disconnect", nowMs);
        return;
      }
      for (const { id } of request.readyForHandshake) this.#readyForHandshake(peer, idOf(id));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      peer.sink.send({ error: error.message });
      peer.sink.end();
      this.#remove(peer, Kind.LOST, "lost", nowMs);
    }
  }

  #updateSelf(peer: PeerState, node: Node, nowMs: number): void {
    const checked = nodeFromProto(node);
    if ("error" in checked) throw new RequestError(`invalid node: ${checked.error}`);
    const refusal = peer.auth.checkNode(checked);
    if (refusal !== undefined) throw new RequestError(`authorization: ${refusal}`);
    const before = peer.node;
    peer.node = node;
    peer.nodeAtMs = nowMs;
    if (before === undefined || keyText(rawKey(before)) !== keyText(rawKey(node))) {
      if (before !== undefined) this.#countKey(rawKey(before), -1, nowMs);
      this.#countKey(rawKey(node), +1, nowMs);
      this.#events.onKey?.(rawKey(node));
    }
    for (const other of this.#partners(peer.id)) {
      const partner = this.#peers.get(other);
      if (partner !== undefined) this.#tell(partner, [peer], nowMs);
    }
  }

  #addTunnel(peer: PeerState, to: string, nowMs: number): void {
    const refusal = peer.auth.checkTunnel(to);
    if (refusal !== undefined) throw new RequestError(`authorization: ${refusal}`);
    const tunnels = setOf(this.#tunnels, peer.id);
    if (tunnels.size >= MAX_TUNNELS_PER_PEER) throw new RequestError(`more than ${MAX_TUNNELS_PER_PEER} tunnels`);
    tunnels.add(to);
    setOf(this.#incoming, to).add(peer.id);
    const destination = this.#peers.get(to);
    if (destination === undefined) return;
    if (destination.node !== undefined) this.#tell(peer, [destination], nowMs);
    if (peer.node !== undefined) this.#tell(destination, [peer], nowMs);
  }

  #removeTunnel(peer: PeerState, to: string, nowMs: number): void {
    if (!this.#dropTunnel(peer.id, to) || this.#partners(peer.id).has(to)) return;
    const destination = this.#peers.get(to);
    this.#tellGone(peer, to, Kind.DISCONNECTED, "tunnel removed", nowMs);
    if (destination !== undefined) this.#tellGone(destination, peer.id, Kind.DISCONNECTED, "tunnel removed", nowMs);
  }

  #readyForHandshake(peer: PeerState, to: string): void {
    const refusal = peer.auth.checkReady();
    if (refusal !== undefined) throw new RequestError(`authorization: ${refusal}`);
    if (!this.#partners(peer.id).has(to)) {
      peer.sink.send({ error: `ready for handshake error: you do not share a tunnel with "${to}"` });
      return;
    }
    this.#peers.get(to)?.sink.send({ peerUpdates: [{ id: uuidToBytes(peer.id), kind: Kind.READY_FOR_HANDSHAKE }] });
  }

  /** The peer is no longer connected: partners hear of it, its own tunnels go; tunnels to it stay for its return. */
  #remove(peer: PeerState, kind: typeof Kind.LOST | typeof Kind.DISCONNECTED, reason: string, nowMs: number): void {
    this.#peers.delete(peer.id);
    this.#releaseKey(peer, nowMs);
    const partners = [...this.#partners(peer.id)];
    for (const to of [...(this.#tunnels.get(peer.id) ?? [])]) this.#dropTunnel(peer.id, to);
    for (const other of partners) {
      const partner = this.#peers.get(other);
      if (partner !== undefined) this.#tellGone(partner, peer.id, kind, reason, nowMs);
    }
  }

  /** Tells `peer` the nodes of others, leaving out what it knows. */
  #tell(peer: PeerState, others: readonly PeerState[], nowMs: number): void {
    const news = others.filter((other) => {
      const told = peer.told.get(other.id);
      return told === undefined || told === "gone" || !equals(NodeSchema, told.node, other.node!);
    });
    if (news.length === 0) return;
    for (const other of news) peer.told.set(other.id, { node: other.node! });
    this.#send(
      peer,
      {
        peerUpdates: news.map((other) => ({
          id: uuidToBytes(other.id),
          node: other.node!,
          kind: Kind.NODE,
          reason: "node update",
        })),
      },
      nowMs,
    );
  }

  #tellGone(
    peer: PeerState,
    other: string,
    kind: typeof Kind.LOST | typeof Kind.DISCONNECTED,
    reason: string,
    nowMs: number,
  ): void {
    const told = peer.told.get(other);
    if (told === undefined || told === "gone") return;
    peer.told.set(other, "gone");
    this.#send(peer, { peerUpdates: [{ id: uuidToBytes(other), kind, reason }] }, nowMs);
  }

  #send(peer: PeerState, response: Response, nowMs: number): void {
    if (peer.sink.send(response) || this.#peers.get(peer.id) !== peer) return;
    peer.sink.end();
    this.#remove(peer, Kind.DISCONNECTED, "does not keep up with updates", nowMs);
  }

  #partners(id: string): Set<string> {
    return new Set([...(this.#tunnels.get(id) ?? []), ...(this.#incoming.get(id) ?? [])]);
  }

  #dropTunnel(from: string, to: string): boolean {
    const removed = this.#tunnels.get(from)?.delete(to) ?? false;
    if (this.#tunnels.get(from)?.size === 0) this.#tunnels.delete(from);
    this.#incoming.get(to)?.delete(from);
    if (this.#incoming.get(to)?.size === 0) this.#incoming.delete(to);
    return removed;
  }

  #releaseKey(peer: PeerState, nowMs: number): void {
    if (peer.node !== undefined) this.#countKey(rawKey(peer.node), -1, nowMs);
  }

  #expireKey(peer: PeerState): void {
    if (peer.node === undefined) return;
    const text = keyText(rawKey(peer.node));
    if (this.#keys.get(text)?.users === 0) this.#forgetKey(text);
  }

  #forgetKey(text: string): void {
    this.#keys.delete(text);
    this.#events.onKeyGone?.(Buffer.from(text, "hex"));
  }

  #countKey(key: Uint8Array, change: 1 | -1, nowMs: number): void {
    const text = keyText(key);
    const entry = this.#keys.get(text) ?? { users: 0, until: 0 };
    entry.users += change;
    entry.until = nowMs + LOST_KEY_GRACE_MS;
    this.#keys.set(text, entry);
  }
}

/** A request that ends the sender's stream. */
class RequestError extends Error {}

function idOf(bytes: Uint8Array): string {
  const id = uuidFromBytes(bytes);
  if (id === undefined) throw new RequestError(`a peer id has 16 bytes, got ${bytes.length}`);
  return id;
}

/** Without the "np" in front. */
function rawKey(node: Node): Uint8Array {
  return node.key.subarray(2);
}

function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("hex");
}

function setOf(map: Map<string, Set<string>>, key: string): Set<string> {
  let set = map.get(key);
  if (set === undefined) {
    set = new Set();
    map.set(key, set);
  }
  return set;
}
