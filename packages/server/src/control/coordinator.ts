/**
 * Decides which peers know each other: keeps peers, their latest nodes, and directed tunnels between them. Nodes are exchanged
 * both ways over a tunnel. A state machine without I/O; answers leave synchronously through each peer's sink. Semantics:
 * docs/protocols/coordination.md and docs/decisions/004-coordinator.md.
 */
import { uuidToBytes } from "coder-protocol/addresses";
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import {
  type CoordinateRequest,
  CoordinateResponse_PeerUpdate_Kind as Kind,
  type Node,
} from "coder-protocol/gen/tailnet_pb.js";
import { LOST, LOST_BY_CLOSE } from "coder-protocol/tailnet/node";
import { bytesEqual } from "wg-userspace/base/bytes";
import { formatIp, parsePrefix } from "wg-userspace/base/ip";
import { checkedNode, checkReady, checkTunnel, idOf, RequestError } from "./coordinate-request.ts";
import { type CoordinatorRecord, MOVED, type PeerEnd, type RemotePeer } from "./coordinator-records.ts";
import { DepartedSources } from "./departed-sources.ts";
import { FormerPeers, type Over, type RightWatch } from "./former-peers.ts";
import { KnownKeys } from "./known-keys.ts";
import type { PeerAuth } from "./peer-auth.ts";
import {
  addressesOf,
  goneUpdate,
  isKey,
  type Known,
  keysOf,
  type PeerDescription,
  type PeerSink,
  type PeerState,
  rawKey,
  remoteHolder,
} from "./peer-state.ts";
import { PeerUpdates } from "./peer-updates.ts";
import { TunnelGraph } from "./tunnel-graph.ts";

export interface CoordinatorEvents {
  /** A node key came into use: its peer may use the relay. */
  onKey?(publicKey: Uint8Array): void;
  /** No peer uses the key any more, and the grace period of its tunnels has ended. */
  onKeyGone?(publicKey: Uint8Array): void;
  /** Called in the order of the changes. */
  onRecord?(record: CoordinatorRecord): void;
}

/** Earlier keys of a connected peer that are kept, since packets under them may still be in flight. */
const MAX_OLD_KEYS_PER_PEER = 2;
/** The reason given when a peer ended while its partner was away. */
const ACCESS_ENDED = "access ended";
/** Sent to a peer whose id belongs to another peer. */
const NOT_YOUR_ID = "peer ID belongs to somebody else";

/** One connected peer, as its service holds it. */
export interface PeerHandle {
  /** Handles one request, its parts in the documented order. */
  handle(request: CoordinateRequest, nowMs: number): void;
  /** The stream ended without a goodbye; `byClose`: in the way that a killed process's stream ends. */
  lost(nowMs: number, byClose?: boolean): void;
}

export class Coordinator {
  readonly #events: CoordinatorEvents;
  readonly #peers = new Map<string, PeerState>();
  /** Peers whose streams this server ended and that are expected to return to one of the servers; none of them is in `#peers`. */
  readonly #released = new Map<string, PeerState>();
  /** Peers of other servers; none of them is in `#peers`. */
  readonly #remote = new Map<string, RemotePeer>();
  readonly #tunnels = new TunnelGraph();
  readonly #keys: KnownKeys;
  readonly #former = new FormerPeers();
  readonly #departed = new DepartedSources();
  readonly #updates: PeerUpdates;

  constructor(events: CoordinatorEvents = {}) {
    this.#events = events;
    this.#keys = new KnownKeys((key) => this.#events.onKeyGone?.(key));
    this.#updates = new PeerUpdates(this.#former, (peer, nowMs) => this.#overrun(peer, nowMs));
  }

  get peerCount(): number {
    return this.#peers.size;
  }

  get tunnelCount(): number {
    return this.#tunnels.count;
  }

  /** The number of keys that may use the relay, and of lost peers whose tunnels are watched. */
  get remembered(): { readonly keys: number; readonly lostPeers: number } {
    return { keys: this.#keys.size, lostPeers: this.#former.size };
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

  /** The destinations of a peer's tunnels. */
  tunnelsOf(id: string): string[] {
    return this.#tunnels.from(id);
  }

  /** Peers that share a tunnel with this one. */
  partnersOf(id: string): Iterable<string> {
    return this.#tunnels.partners(id);
  }

  /** Connected peers that have a tunnel to `id`. */
  sourcesOf(id: string): string[] {
    return this.#tunnels.to(id).filter((source) => this.#peers.has(source));
  }

  /** The peer that has this address, among the connected peers with a tunnel to `id`, or that had it last until recently. */
  sourceAt(id: string, address: string): PeerAuth | undefined {
    const prefix = parsePrefix(`${address}/128`);
    if (prefix === undefined) return undefined;
    const wanted = formatIp(prefix.address);
    const source = this.sourcesOf(id).find((other) => addressesOf(this.node(other)).includes(wanted));
    return source === undefined ? this.#departed.at(id, wanted) : this.#peers.get(source)?.auth;
  }

  /** Whether a peer that is connected here is a web page. */
  isBrowser(id: string): boolean {
    return this.#peers.get(id)?.auth.isBrowser === true;
  }

  isConnected(id: string): boolean {
    return this.#peers.has(id);
  }

  /** Whether a peer is connected to another server. */
  isElsewhere(id: string): boolean {
    return this.#remote.has(id);
  }

  /** The latest node of a peer that is connected here or to another server; undefined if unknown. */
  node(id: string): Node | undefined {
    return (this.#peers.get(id) ?? this.#remote.get(id))?.node;
  }

  /** Whether this key belongs to a peer of the deployment that may use the relay. */
  knowsKey(publicKey: Uint8Array, nowMs: number): boolean {
    return this.#keys.knows(publicKey, nowMs);
  }

  /** In hex: all keys that may use the relay. */
  relayKeys(nowMs: number): string[] {
    return this.#keys.list(nowMs);
  }

  /**
   * Adds a connected peer. If one is connected under this id, it must have the same holder and is replaced; of its tunnels, those
   * in `authorised` are kept.
   */
  connect(
    id: string,
    auth: PeerAuth,
    sink: PeerSink,
    nowMs: number,
    authorised: ReadonlySet<string> = new Set(),
  ): PeerHandle {
    const old = this.#peers.get(id);
    if (old !== undefined && (old.auth.kind !== auth.kind || old.auth.holder !== auth.holder)) {
      sink.send({ error: NOT_YOUR_ID });
      sink.end();
      return { handle: () => undefined, lost: () => undefined };
    }
    if (old !== undefined) this.#replace(old, nowMs);
    const released = this.#released.get(id);
    if (released !== undefined) this.#releaseKeys(released, nowMs);
    this.#released.delete(id);
    const remote = this.#remote.get(id);
    if (remote !== undefined) this.#forgetRemote(id, remote, nowMs);
    this.#keepTunnels(id, authorised, nowMs);
    const peer: PeerState = {
      id,
      auth,
      sink,
      connectedAtMs: nowMs,
      node: undefined,
      nodeAtMs: nowMs,
      oldKeys: [],
      sentNodes: new Map(),
    };
    this.#peers.set(id, peer);
    for (const to of this.tunnelsOf(id)) this.#record({ kind: "tunnel", from: id, to, gone: false });
    this.#record({ kind: "connected", id, auth });
    const over = this.#former.reminders(id);
    if (over.length > 0)
      this.#updates.send(peer, { peerUpdates: over.map((other) => goneUpdate(other, ACCESS_ENDED)) }, nowMs);
    this.#updates.nodes(
      peer,
      [...this.#tunnels.partners(id)].flatMap((other) => this.#known(other) ?? []),
      nowMs,
    );
    return {
      handle: (request, now) => {
        if (this.#peers.get(id) === peer) this.#handle(peer, request, now);
      },
      lost: (now, byClose = false) => {
        if (this.#peers.get(id) === peer) this.#remove(peer, Kind.LOST, byClose ? LOST_BY_CLOSE : LOST, now);
      },
    };
  }

  /** Ends the rights of a connected peer: the peer and its partners are informed, and its stream ends. */
  expel(id: string, reason: string, nowMs: number): void {
    const peer = this.#peers.get(id) ?? this.#released.get(id);
    if (peer === undefined) return;
    peer.sink.send({ error: reason });
    peer.sink.end();
    const keys = keysOf(peer);
    // A partner that is away is informed when it returns, because the right has ended permanently.
    for (const other of this.#tunnels.partners(id)) if (this.#mayKnow(other, id)) this.#former.remind(other, id, nowMs);
    this.#remove(peer, Kind.DISCONNECTED, reason, nowMs, "expelled");
    for (const key of keys) this.#keys.forget(key, peer.auth.holder);
  }

  /** Like expel, for every peer whose right has ended, including lost ones. */
  revoke(isOver: (auth: PeerAuth) => boolean, reason: string, nowMs: number): void {
    for (const { id, auth } of [...this.#peers.values(), ...this.#released.values()])
      if (isOver(auth)) this.expel(id, reason, nowMs);
    this.#end(this.#former.endAll(isOver), reason, nowMs);
  }

  /** Whether `partner` is informed when the right of `id` ends. */
  informsOfEnd(id: string, partner: string): boolean {
    const isConnected = this.#peers.has(id) || this.#remote.has(id);
    return (isConnected && this.#tunnels.areJoined(id, partner)) || this.#former.watches(id, partner);
  }

  /** Records whether the right of `auth` to a tunnel with `partner` ends while it is being looked up. */
  watchRight(auth: PeerAuth, partner: string): RightWatch {
    return this.#former.watchRight(auth, partner);
  }

  /** `partner` still has a tunnel with a lost peer that was unknown here: from now on that peer is watched like any lost one. */
  remember(id: string, auth: PeerAuth, partner: string, nowMs: number): void {
    this.#peers.get(partner)?.sentNodes.set(id, "lost");
    this.#end(this.#former.lost(id, auth, [partner], [], nowMs), "too many lost peers", nowMs);
  }

  /** The right of a lost peer to its tunnel with `partner` is not valid. */
  endLost(id: string, partner: string, reason: string, nowMs: number): void {
    this.#former.rejoined(id, partner);
    const peer = this.#peers.get(partner);
    if (peer === undefined) return;
    peer.sentNodes.set(id, "lost");
    this.#updates.gone(peer, id, Kind.DISCONNECTED, reason, nowMs);
  }

  /**
   * Ends the stream of a peer that is expected to return, here or at another server, because this server stops or cannot serve
   * it. Nothing is recorded and no partner is informed: the peer's tunnels stay as they are.
   */
  release(id: string, error?: string): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    if (error !== undefined) peer.sink.send({ error });
    peer.sink.end();
    this.#peers.delete(id);
    this.#released.set(id, peer);
  }

  /** Declares lost the released peers that did not return, here or at another server. */
  endReleased(nowMs: number): void {
    for (const peer of [...this.#released.values()]) this.#remove(peer, Kind.LOST, LOST, nowMs);
  }

  /** From now on, only keys of connected peers may use the relay. */
  endGraces(): void {
    this.#keys.endGraces();
  }

  /**
   * A peer is connected to another server, or what is known about it changed. If a local peer had this id, `moved` has been
   * called before.
   */
  remotePeer(id: string, peer: RemotePeer, nowMs: number): void {
    const before = this.#remote.get(id);
    this.#remote.set(id, peer);
    if (peer.key !== undefined && !isKey(before?.key, peer.key)) {
      this.#keys.use(peer.key);
      this.#events.onKey?.(peer.key);
    }
    if (before?.key !== undefined && !isKey(peer.key, before.key))
      this.#keys.release(before.key, remoteHolder(id), nowMs);
    if (peer.node !== undefined) this.#informPartners(id, nowMs);
  }

  /** A peer of another server is no longer connected there, or that server itself is lost. */
  remoteGone(id: string, end: PeerEnd, reason: string, nowMs: number): void {
    const remote = this.#remote.get(id);
    if (remote !== undefined) this.#forgetRemote(id, remote, nowMs);
    if (end === "expelled" && remote?.key !== undefined) this.#keys.forget(remote.key, remoteHolder(id));
    const kind = end === "lost" ? Kind.LOST : Kind.DISCONNECTED;
    for (const other of this.#tunnels.partners(id)) {
      const partner = this.#peers.get(other);
      if (partner !== undefined) this.#updates.gone(partner, id, kind, reason, nowMs);
    }
  }

  /** Another server granted one of its own peers a tunnel, or removed one. */
  remoteTunnel(from: string, to: string, gone: boolean, nowMs: number): void {
    if (gone) {
      if (!this.#tunnels.drop(from, to) || this.#tunnels.areJoined(from, to)) return;
      // A peer that is not connected did not remove the tunnel; its partners have already been informed of its loss or its end.
      if (!this.#peers.has(from) && !this.#remote.has(from)) return;
      for (const [end, other] of [
        [from, to],
        [to, from],
      ] as const) {
        const peer = this.#peers.get(end);
        if (peer !== undefined) this.#updates.gone(peer, other, Kind.DISCONNECTED, "tunnel removed", nowMs);
      }
      return;
    }
    this.#joinTunnel(from, to, nowMs);
  }

  /** A peer of another server is ready for the handshake with `to`. */
  remoteSignal(from: string, to: string): void {
    if (this.#tunnels.areJoined(from, to)) this.#sendReady(from, to);
  }

  /** The peer is connected to another server now: its stream here ends, and partners are not informed. */
  moved(id: string, nowMs: number): void {
    const peer = this.#peers.get(id) ?? this.#released.get(id);
    if (peer === undefined) return;
    if (this.#released.delete(id)) this.#releaseKeys(peer, nowMs);
    else this.#replace(peer, nowMs);
    this.#peers.delete(id);
    // From now on the tunnels that the other server grants are the valid ones, even if the peer returns here.
    for (const to of this.tunnelsOf(id)) this.#record({ kind: "tunnel", from: id, to, gone: true });
    this.#record({ kind: "gone", id, end: "disconnected", reason: MOVED });
  }

  /** Whether a peer that is connected here shares a tunnel with `id`. */
  concerns(id: string): boolean {
    return this.#tunnels.hasPartner(id, (other) => this.#peers.has(other));
  }

  /** Records the state of all peers connected here, as if it had just changed. */
  recordAll(): void {
    for (const peer of this.#peers.values()) {
      for (const to of this.tunnelsOf(peer.id)) this.#record({ kind: "tunnel", from: peer.id, to, gone: false });
      this.#record({ kind: "connected", id: peer.id, auth: peer.auth });
      if (peer.node !== undefined) this.#record({ kind: "node", id: peer.id, node: peer.node });
    }
  }

  /**
   * Ends single tunnels; the connection of their client stays. Each side is informed that the other is gone, if necessary when it
   * returns.
   */
  endTunnels(isOver: (auth: PeerAuth, to: string) => boolean, reason: string, nowMs: number): void {
    for (const peer of [...this.#peers.values()]) {
      for (const to of this.tunnelsOf(peer.id)) {
        if (!isOver(peer.auth, to)) continue;
        if (this.#mayKnow(to, peer.id)) this.#former.remind(to, peer.id, nowMs);
        this.#removeTunnel(peer, to, nowMs, reason);
        peer.sink.send({ error: reason });
      }
    }
    this.#end(this.#former.endTunnels(isOver), reason, nowMs);
  }

  /** Tells the connected peers of `holder` that have a tunnel to `to` that rights under which they use it may have ended. */
  doubtRights(holder: string, to: string, nowMs: number): void {
    for (const id of this.sourcesOf(to)) {
      const peer = this.#peers.get(id);
      if (peer?.auth.holder === holder) this.#updates.send(peer, { doubtedRights: [uuidToBytes(to)] }, nowMs);
    }
  }

  /** Forgets what has expired. Call periodically. */
  sweep(nowMs: number): void {
    this.#keys.sweep(nowMs);
    this.#departed.sweep(nowMs);
    this.#end(this.#former.sweep(nowMs), "lost for too long", nowMs);
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
      this.#remove(peer, Kind.LOST, LOST, nowMs);
    }
  }

  #updateSelf(peer: PeerState, node: Node, nowMs: number): void {
    const checked = checkedNode(peer.auth, node);
    const before = peer.node;
    peer.node = checked;
    peer.nodeAtMs = nowMs;
    if (before === undefined || !bytesEqual(before.key, node.key)) {
      if (before !== undefined) this.#retireKey(peer, rawKey(before), nowMs);
      this.#keys.use(rawKey(peer.node));
      this.#events.onKey?.(rawKey(peer.node));
    }
    this.#record({ kind: "node", id: peer.id, node: peer.node });
    this.#informPartners(peer.id, nowMs);
  }

  #informPartners(id: string, nowMs: number): void {
    const known = this.#known(id);
    if (known === undefined) return;
    for (const other of this.#tunnels.partners(id)) {
      const partner = this.#peers.get(other);
      if (partner !== undefined) this.#updates.nodes(partner, [known], nowMs);
    }
  }

  #addTunnel(peer: PeerState, to: string, nowMs: number): void {
    if (peer.auth.isForBrowsers?.(to) === true) {
      // The stream stays open: the client may have tunnels to other agents, or follow its workspaces.
      peer.sink.send({ error: NON_BROWSER_REFUSED });
      return;
    }
    checkTunnel(peer.auth, to, this.#tunnels.countFrom(peer.id));
    this.#record({ kind: "tunnel", from: peer.id, to, gone: false });
    this.#joinTunnel(peer.id, to, nowMs);
  }

  #joinTunnel(from: string, to: string, nowMs: number): void {
    this.#tunnels.add(from, to);
    this.#former.rejoined(from, to);
    this.#former.rejoined(to, from);
    for (const [end, other] of [
      [from, to],
      [to, from],
    ] as const) {
      const peer = this.#peers.get(end);
      const known = this.#known(other);
      if (peer !== undefined && known !== undefined) this.#updates.nodes(peer, [known], nowMs);
    }
  }

  #removeTunnel(peer: PeerState, to: string, nowMs: number, reason = "tunnel removed"): void {
    if (!this.#tunnels.drop(peer.id, to)) return;
    this.#departed.left(to, peer, nowMs);
    this.#record({ kind: "tunnel", from: peer.id, to, gone: true });
    if (this.#tunnels.areJoined(peer.id, to)) return;
    const destination = this.#peers.get(to);
    this.#updates.gone(peer, to, Kind.DISCONNECTED, reason, nowMs);
    if (destination !== undefined) this.#updates.gone(destination, peer.id, Kind.DISCONNECTED, reason, nowMs);
  }

  #readyForHandshake(peer: PeerState, to: string): void {
    checkReady(peer.auth);
    if (!this.#tunnels.areJoined(peer.id, to)) {
      peer.sink.send({ error: `ready for handshake error: you do not share a tunnel with "${to}"` });
      return;
    }
    if (this.#peers.has(to)) this.#sendReady(peer.id, to);
    else this.#record({ kind: "signal", from: peer.id, to });
  }

  #sendReady(from: string, to: string): void {
    this.#peers.get(to)?.sink.send({ peerUpdates: [{ id: uuidToBytes(from), kind: Kind.READY_FOR_HANDSHAKE }] });
  }

  /** Another connection takes over the id of this one. */
  #replace(old: PeerState, nowMs: number): void {
    old.sink.send({ error: "peer ID overwritten by new connection" });
    old.sink.end();
    this.#releaseKeys(old, nowMs);
  }

  /** Keeps those of an earlier connection's tunnels that are in `authorised`. */
  #keepTunnels(id: string, authorised: ReadonlySet<string>, nowMs: number): void {
    for (const to of this.tunnelsOf(id)) {
      if (authorised.has(to) || !this.#tunnels.drop(id, to)) continue;
      this.#record({ kind: "tunnel", from: id, to, gone: true });
      const partner = this.#peers.get(to);
      if (partner !== undefined && !this.#tunnels.areJoined(id, to))
        this.#updates.gone(partner, id, Kind.DISCONNECTED, "tunnel removed", nowMs);
    }
  }

  /**
   * The peer is no longer connected: partners are informed and its own tunnels are removed; tunnels to it are kept for its
   * return.
   */
  #remove(
    peer: PeerState,
    kind: typeof Kind.LOST | typeof Kind.DISCONNECTED,
    reason: string,
    nowMs: number,
    end: PeerEnd = kind === Kind.LOST ? "lost" : "disconnected",
  ): void {
    this.#peers.delete(peer.id);
    this.#released.delete(peer.id);
    const keys = keysOf(peer);
    this.#releaseKeys(peer, nowMs);
    const partners = [...this.#tunnels.partners(peer.id)];
    const knowing = partners.filter((other) => this.#mayKnow(other, peer.id));
    // Recorded before the tunnels are removed. A server that has read only part of the records would otherwise think that a
    // connected peer removed its tunnels.
    this.#record({ kind: "gone", id: peer.id, end, reason });
    for (const to of this.tunnelsOf(peer.id)) {
      this.#tunnels.drop(peer.id, to);
      this.#departed.left(to, peer, nowMs);
      this.#record({ kind: "tunnel", from: peer.id, to, gone: true });
    }
    for (const other of partners) {
      const partner = this.#peers.get(other);
      if (partner !== undefined) this.#updates.gone(partner, peer.id, kind, reason, nowMs);
    }
    if (kind === Kind.DISCONNECTED) this.#end(this.#former.end(peer.id), reason, nowMs);
    else if (peer.node !== undefined)
      this.#end(this.#former.lost(peer.id, peer.auth, knowing, keys, nowMs), "too many lost peers", nowMs);
  }

  /**
   * Informs all peers that may still have a tunnel with these peers that they are gone. If such a peer has returned, only those
   * without a tunnel to it are informed.
   */
  #end(peers: readonly Over[], reason: string, nowMs: number): void {
    for (const { id, auth, partners, keys } of peers) {
      const back = this.#peers.get(id);
      const isBack = back !== undefined || this.#remote.has(id);
      // If the peer has returned at another server, that server decides about it.
      if (!isBack) this.#record({ kind: "gone", id, end: "expelled", reason });
      const used = back === undefined ? [] : keysOf(back);
      for (const key of keys) if (!used.some((other) => isKey(other, key))) this.#keys.forget(key, auth.holder);
      const joined = this.#tunnels.partners(id);
      const over = isBack
        ? partners.filter((other) => !this.#tunnels.areJoined(id, other))
        : new Set([...partners, ...joined]);
      for (const other of over) {
        if (partners.includes(other) || this.#mayKnow(other, id)) this.#former.remind(other, id, nowMs);
        const partner = this.#peers.get(other);
        if (partner !== undefined) this.#updates.gone(partner, id, Kind.DISCONNECTED, reason, nowMs);
      }
    }
  }

  /** The peer does not keep up with its updates. */
  #overrun(peer: PeerState, nowMs: number): void {
    if (this.#peers.get(peer.id) !== peer) return;
    peer.sink.end();
    this.#remove(peer, Kind.DISCONNECTED, "does not keep up with updates", nowMs);
  }

  /** Whether `other` may have received the node of `id`. For a peer that is away, only its former tunnels are known. */
  #mayKnow(other: string, id: string): boolean {
    const peer = this.#peers.get(other);
    return peer === undefined ? this.#former.has(other) : peer.sentNodes.has(id);
  }

  /** A peer whose node is known, on whichever server. */
  #known(id: string): Known | undefined {
    const local = this.#peers.get(id);
    const remote = this.#remote.get(id);
    const { node } = local ?? remote ?? {};
    if (node === undefined) return undefined;
    const { sessionId, right } = local?.auth ?? remote ?? {};
    return { id, node, sessionId, right };
  }

  #forgetRemote(id: string, remote: RemotePeer, nowMs: number): void {
    this.#remote.delete(id);
    if (remote.key !== undefined) this.#keys.release(remote.key, remoteHolder(id), nowMs);
  }

  #record(record: CoordinatorRecord): void {
    this.#events.onRecord?.(record);
  }

  #retireKey(peer: PeerState, key: Uint8Array, nowMs: number): void {
    this.#keys.release(key, peer.auth.holder, nowMs);
    peer.oldKeys.push(key);
    if (peer.oldKeys.length > MAX_OLD_KEYS_PER_PEER) this.#keys.forget(peer.oldKeys.shift()!, peer.auth.holder);
  }

  #releaseKeys(peer: PeerState, nowMs: number): void {
    if (peer.node !== undefined) this.#keys.release(rawKey(peer.node), peer.auth.holder, nowMs);
  }
}
