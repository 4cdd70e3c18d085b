/**
 * When peers that the coordinator tells us about are put into the tunnel and taken out again: a pure state machine.
 * Source: Coder's tailnet client behaviour (docs/protocols/coordination.md).
 */

import type { NodeInfo } from "coder-protocol/tailnet/node";
import { addMs, earliest, type Instant } from "wg-userspace/base/instant";

/** A destination is programmed this long after its node came, when it never says that it is ready. */
const READY_WAIT_MS = 5_000;
/** A lost peer is kept this long after its last handshake. */
const LOST_KEEP_MS = 15 * 60_000;

export type PeerUpdate =
  | { readonly kind: "node"; readonly id: string; readonly node: NodeInfo }
  | { readonly kind: "disconnected"; readonly id: string }
  | { readonly kind: "lost"; readonly id: string }
  | { readonly kind: "ready"; readonly id: string };

export type PeerAction =
  /** Add the peer to the tunnel, or change it. */
  | { readonly kind: "program"; readonly id: string; readonly node: NodeInfo }
  | {
      readonly kind: "remove";
      readonly id: string;
      readonly node: NodeInfo;
      /** The process behind it is over: its connections can never go on. */
      readonly over: boolean;
    };

interface PeerState {
  node: NodeInfo | undefined;
  programmed: NodeInfo | undefined;
  ready: boolean;
  programAt: Instant | undefined;
  lostAt: Instant | undefined;
}

export interface PeerProgrammingOptions {
  /** Peers that are tunnel destinations of ours: those wait for READY_FOR_HANDSHAKE. */
  readonly isDestination: (id: string) => boolean;
  /** Last completed WireGuard handshake with a peer. */
  readonly lastHandshakeAt: (node: NodeInfo) => Instant | undefined;
  /** Peers kept at most; updates about further ones are dropped. */
  readonly maxPeers: number;
}

export class PeerProgramming {
  readonly #peers = new Map<string, PeerState>();
  readonly #options: PeerProgrammingOptions;

  constructor(options: PeerProgrammingOptions) {
    this.#options = options;
  }

  /** Ids of the peers that are in the tunnel now. */
  programmed(): string[] {
    return [...this.#peers].filter(([, peer]) => peer.programmed !== undefined).map(([id]) => id);
  }

  node(id: string): NodeInfo | undefined {
    return this.#peers.get(id)?.node;
  }

  handle(update: PeerUpdate, now: Instant): PeerAction[] {
    switch (update.kind) {
      case "node":
        return this.#handleNode(update.id, update.node, now);
      case "ready":
        return this.#handleReady(update.id);
      case "disconnected":
        return this.#remove(update.id, true);
      case "lost":
        this.#lose(update.id, now);
        return [];
    }
  }

  /** The control connection is gone: nobody will tell us of peers that leave, so all of them count as lost. */
  connectionLost(now: Instant): void {
    for (const id of this.#peers.keys()) this.#lose(id, now);
  }

  handleTimeout(now: Instant): PeerAction[] {
    const actions: PeerAction[] = [];
    for (const [id, peer] of this.#peers) {
      if (peer.programAt !== undefined && peer.programAt <= now) actions.push(...this.#program(id, peer));
      const removeAt = this.#removeAt(peer);
      if (removeAt !== undefined && removeAt <= now) actions.push(...this.#remove(id, false));
    }
    return actions;
  }

  nextTimeout(): Instant | undefined {
    let next: Instant | undefined;
    for (const peer of this.#peers.values()) next = earliest(next, earliest(peer.programAt, this.#removeAt(peer)));
    return next;
  }

  #handleNode(id: string, node: NodeInfo, now: Instant): PeerAction[] {
    if (node.preferredDerp === 0) return []; // not reachable yet: the sender will say more
    const peer = this.#peer(id);
    if (peer === undefined) return [];
    const restarted = peer.programmed !== undefined && !sameBytes(peer.programmed.key, node.key);
    const actions: PeerAction[] = restarted ? [{ kind: "remove", id, node: peer.programmed!, over: true }] : [];
    if (restarted) {
      peer.programmed = undefined;
      peer.ready = false;
    }
    peer.node = node;
    peer.lostAt = undefined;
    if (peer.programmed !== undefined || peer.ready || !this.#options.isDestination(id)) {
      return [...actions, ...this.#program(id, peer)];
    }
    peer.programAt ??= addMs(now, READY_WAIT_MS);
    return actions;
  }

  #handleReady(id: string): PeerAction[] {
    const peer = this.#peer(id);
    if (peer === undefined) return [];
    peer.ready = true;
    return peer.node === undefined || peer.programmed !== undefined ? [] : this.#program(id, peer);
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

  #peer(id: string): PeerState | undefined {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      if (this.#peers.size >= this.#options.maxPeers) return undefined;
      peer = { node: undefined, programmed: undefined, ready: false, programAt: undefined, lostAt: undefined };
      this.#peers.set(id, peer);
    }
    return peer;
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
