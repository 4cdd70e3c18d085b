/** Sends connected peers news about each other, and each piece of news only once. */
import { equals } from "@bufbuild/protobuf";
import { uuidToBytes } from "coder-protocol/addresses";
import { CoordinateResponse_PeerUpdate_Kind as Kind, NodeSchema } from "coder-protocol/gen/tailnet_pb.js";
import type { FormerPeers } from "./former-peers.ts";
import { type Known, type PeerState, type Response, reasonOf } from "./peer-state.ts";

export class PeerUpdates {
  readonly #former: FormerPeers;
  readonly #onOverrun: (peer: PeerState, nowMs: number) => void;

  /** @param onOverrun Called for a peer that does not take its updates as fast as they come. */
  constructor(former: FormerPeers, onOverrun: (peer: PeerState, nowMs: number) => void) {
    this.#former = former;
    this.#onOverrun = onOverrun;
  }

  /** Sends `peer` the nodes of others, except those that it already knows. */
  nodes(peer: PeerState, others: readonly Known[], nowMs: number): void {
    const news = others.filter((other) => {
      const sent = peer.sentNodes.get(other.id);
      return sent === undefined || sent === "lost" || !equals(NodeSchema, sent.node, other.node);
    });
    if (news.length === 0) return;
    for (const other of news) {
      peer.sentNodes.set(other.id, { node: other.node });
      this.#former.isBack(peer.id, other.id);
    }
    const peerUpdates = news.map((other) => ({
      id: uuidToBytes(other.id),
      node: other.node,
      kind: Kind.NODE,
      reason: reasonOf(other.sessionId),
      right: other.right ?? new Uint8Array(),
    }));
    this.send(peer, { peerUpdates }, nowMs);
  }

  /**
   * Informs partners that a peer is lost or disconnected; nothing is sent to a partner that does not know the peer, or knows this
   * already.
   */
  gone(
    peer: PeerState,
    other: string,
    kind: typeof Kind.LOST | typeof Kind.DISCONNECTED,
    reason: string,
    nowMs: number,
  ): void {
    const sent = peer.sentNodes.get(other);
    if (sent === undefined || (sent === "lost" && kind === Kind.LOST)) return;
    if (kind === Kind.LOST) peer.sentNodes.set(other, "lost");
    else peer.sentNodes.delete(other);
    this.send(peer, { peerUpdates: [{ id: uuidToBytes(other), kind, reason }] }, nowMs);
  }

  send(peer: PeerState, response: Response, nowMs: number): void {
    if (!peer.sink.send(response)) this.#onOverrun(peer, nowMs);
  }
}
