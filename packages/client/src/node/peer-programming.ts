/**
 * When peers that the coordinator announces are added to the tunnel and removed again: a pure state machine.
 * Source: Coder's tailnet client behaviour (docs/protocols/coordination.md).
 */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { bytesEqual } from "wg-userspace/base/bytes";
import { addMs, earliest, type Instant } from "wg-userspace/base/instant";

/** A destination that never reports "ready" is programmed this long after its node arrived. */
const READY_WAIT_MS = 5_000;
/** A lost peer is kept this long after its last handshake. */
const LOST_KEEP_MS = 15 * 60_000;
/**
 * A client whose control connection was closed by its operating system is gone once nothing is received from it for this long.
 */
const GONE_AFTER_MS = 2 * 60_000;
/** If a deadline is handled this late, the process was suspended and could not receive anything. */
const AWAY_MS = 4_000;

export type PeerUpdate =
  | { readonly kind: "node"; readonly id: string; readonly node: NodeInfo; readonly right?: Uint8Array | undefined }
  | { readonly kind: "disconnected"; readonly id: string }
  | { readonly kind: "lost"; readonly id: string; readonly byClose: boolean }
  | { readonly kind: "ready"; readonly id: string };

export type PeerAction =
  /** Add the peer to the tunnel, or change it. */
  | { readonly kind: "program"; readonly id: string; readonly node: NodeInfo }
  | {
      readonly kind: "remove";
      readonly id: string;
      readonly node: NodeInfo;
      /** The process behind it has ended, so its connections can never continue. */
      readonly over: boolean;
    }
  /** The process behind it is gone, so its connections end. If it is alive after all, it can still use the tunnel. */
  | { readonly kind: "hang-up"; readonly id: string; readonly node: NodeInfo };

/** A lost peer that is in the tunnel, and the rights on which its tunnels rest according to the coordinator. */
export interface LostPeer {
  readonly id: string;
  readonly right: Uint8Array;
}

interface PeerState {
  node: NodeInfo | undefined;
  right: Uint8Array | undefined;
  programmed: NodeInfo | undefined;
  ready: boolean;
  programAt: Instant | undefined;
  lostAt: Instant | undefined;
  /** When its control connection was closed; undefined once it is announced again. */
  closedAt: Instant | undefined;
}

export interface PeerProgrammingOptions {
  /** Peers to which we want tunnels: they must report READY_FOR_HANDSHAKE first. */
  readonly isDestination: (id: string) => boolean;
  /** Time of the last completed WireGuard handshake with a peer. */
  readonly lastHandshakeAt: (node: NodeInfo) => Instant | undefined;
  /** Time of a peer's last authentic packet. */
  readonly lastReceivedAt: (node: NodeInfo) => Instant | undefined;
  /** In ms. Default: two minutes, more than four keepalives. */
  readonly goneAfterMs?: number | undefined;
  /** Most peers kept. A further one replaces the lost peer that has been silent longest; if there is none, it is dropped. */
  readonly maxPeers: number;
  /** A peer was dropped because connected ones take all places. Called once until a place is free again. */
  readonly onFull?: (() => void) | undefined;
}

export class PeerProgramming {
  readonly #peers = new Map<string, PeerState>();
  readonly #options: PeerProgrammingOptions;
  #isFull = false;

  constructor(options: PeerProgrammingOptions) {
    this.#options = options;
  }

  /** Ids of the peers that are in the tunnel now. */
  programmed(): string[] {
    return [...this.#peers].filter(([, peer]) => peer.programmed !== undefined).map(([id]) => id);
  }

  /** Whether, as far as we know, the deployment has this peer connected. */
  isAnnounced(id: string): boolean {
    const peer = this.#peers.get(id);
    return peer?.node !== undefined && peer.lostAt === undefined;
  }

  node(id: string): NodeInfo | undefined {
    return this.#peers.get(id)?.node;
  }

  /** Peers whose rights the coordinator has to watch, and may have forgotten. */
  lostPeers(): LostPeer[] {
    return [...this.#peers].flatMap(([id, { lostAt, programmed, right }]) =>
      lostAt === undefined || programmed === undefined || right === undefined ? [] : [{ id, right }],
    );
  }

  handle(update: PeerUpdate, now: Instant): PeerAction[] {
    switch (update.kind) {
      case "node":
        return this.#handleNode(update, now);
      case "ready":
        return this.#handleReady(update.id);
      case "disconnected":
        return this.#remove(update.id, true);
      case "lost":
        this.#lose(update.id, now);
        if (update.byClose) this.#suspect(update.id, now);
        return [];
    }
  }

  /**
   * The control connection is gone, and with it the announcements: peers that leave are not reported, so all count as lost; peers
   * that come back are not reported either, so none counts as gone.
   */
  connectionLost(now: Instant): void {
    for (const [id, peer] of this.#peers) {
      this.#lose(id, now);
      peer.closedAt = undefined;
    }
  }

  /** All peers have lost the right to be in the tunnel. */
  expelAll(): PeerAction[] {
    return [...this.#peers.keys()].flatMap((id) => this.#remove(id, true));
  }

  handleTimeout(now: Instant): PeerAction[] {
    const actions: PeerAction[] = [];
    for (const [id, peer] of this.#peers) {
      if (peer.programAt !== undefined && peer.programAt <= now) actions.push(...this.#program(id, peer));
      if (this.#isGone(peer, now)) actions.push({ kind: "hang-up", id, node: peer.programmed! });
      const removeAt = this.#removeAt(peer);
      if (removeAt !== undefined && removeAt <= now) actions.push(...this.#remove(id, false));
    }
    return actions;
  }

  nextTimeout(): Instant | undefined {
    let next: Instant | undefined;
    for (const peer of this.#peers.values())
      for (const at of [peer.programAt, this.#goneAt(peer), this.#removeAt(peer)]) next = earliest(next, at);
    return next;
  }

  #handleNode({ id, node, right }: PeerUpdate & { readonly kind: "node" }, now: Instant): PeerAction[] {
    const known = this.#peers.get(id);
    if (known !== undefined) known.closedAt = undefined;
    if (node.preferredDerp === 0) return []; // not reachable yet: another update will follow
    const actions = this.#makeRoom(id);
    const peer = this.#peer(id);
    if (peer === undefined) return [];
    const restarted = peer.programmed !== undefined && !bytesEqual(peer.programmed.key, node.key);
    if (restarted) {
      actions.push({ kind: "remove", id, node: peer.programmed!, over: true });
      peer.programmed = undefined;
      peer.ready = false;
    }
    peer.node = node;
    peer.right = right;
    peer.lostAt = undefined;
    if (peer.programmed !== undefined || peer.ready || !this.#options.isDestination(id)) {
      return [...actions, ...this.#program(id, peer)];
    }
    peer.programAt ??= addMs(now, READY_WAIT_MS);
    return actions;
  }

  #handleReady(id: string): PeerAction[] {
    const actions = this.#makeRoom(id);
    const peer = this.#peer(id);
    if (peer === undefined) return [];
    peer.ready = true;
    return peer.node === undefined || peer.programmed !== undefined
      ? actions
      : [...actions, ...this.#program(id, peer)];
  }

  #program(id: string, peer: PeerState): PeerAction[] {
    peer.programAt = undefined;
    if (peer.node === undefined) return [];
    peer.programmed = peer.node;
    return [{ kind: "program", id, node: peer.node }];
  }

  #lose(id: string, now: Instant): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.lostAt ??= now;
    peer.ready = false;
  }

  /** Applies only to peers that asked for us: our own destinations hold nothing here that outlives us. */
  #suspect(id: string, now: Instant): void {
    const peer = this.#peers.get(id);
    if (peer?.programmed !== undefined && !this.#options.isDestination(id)) peer.closedAt = now;
  }

  #goneAt(peer: PeerState): Instant | undefined {
    if (peer.closedAt === undefined || peer.programmed === undefined) return undefined;
    const heard = this.#options.lastReceivedAt(peer.programmed);
    const since = heard !== undefined && heard > peer.closedAt ? heard : peer.closedAt;
    return addMs(since, this.#options.goneAfterMs ?? GONE_AFTER_MS);
  }

  #isGone(peer: PeerState, now: Instant): boolean {
    const goneAt = this.#goneAt(peer);
    if (goneAt === undefined || now < goneAt) return false;
    const away = now - goneAt > AWAY_MS;
    peer.closedAt = away ? now : undefined;
    return !away;
  }

  #removeAt(peer: PeerState): Instant | undefined {
    if (peer.lostAt === undefined) return undefined;
    const handshake = peer.programmed === undefined ? undefined : this.#options.lastHandshakeAt(peer.programmed);
    return addMs(handshake !== undefined && handshake > peer.lostAt ? handshake : peer.lostAt, LOST_KEEP_MS);
  }

  #remove(id: string, over: boolean): PeerAction[] {
    const peer = this.#peers.get(id);
    this.#peers.delete(id);
    return peer?.programmed === undefined ? [] : [{ kind: "remove", id, node: peer.programmed, over }];
  }

  /** Killed clients leave lost peers behind, and many of those must not keep out a new one. */
  #makeRoom(id: string): PeerAction[] {
    if (this.#peers.has(id) || this.#peers.size < this.#options.maxPeers) return [];
    let silent: { readonly id: string; readonly since: Instant } | undefined;
    for (const [other, peer] of this.#peers) {
      const since = this.#silentSince(peer);
      if (since !== undefined && (silent === undefined || since < silent.since)) silent = { id: other, since };
    }
    return silent === undefined ? [] : this.#remove(silent.id, false);
  }

  /** For a lost peer, whose sessions may nevertheless continue. */
  #silentSince({ lostAt, programmed }: PeerState): Instant | undefined {
    if (lostAt === undefined || programmed === undefined) return lostAt;
    const heard = this.#options.lastReceivedAt(programmed);
    return heard !== undefined && heard > lostAt ? heard : lostAt;
  }

  #peer(id: string): PeerState | undefined {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      const isFull = this.#peers.size >= this.#options.maxPeers;
      if (isFull && !this.#isFull) this.#options.onFull?.();
      this.#isFull = isFull;
      if (isFull) return undefined;
      peer = {
        node: undefined,
        right: undefined,
        programmed: undefined,
        ready: false,
        programAt: undefined,
        lostAt: undefined,
        closedAt: undefined,
      };
      this.#peers.set(id, peer);
    }
    return peer;
  }
}
