/** One peer as the coordinator holds it, and helpers for the answers that it gets. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { uuidToBytes } from "coder-protocol/addresses";
import {
  type CoordinateResponseSchema,
  CoordinateResponse_PeerUpdate_Kind as Kind,
  type Node,
} from "coder-protocol/gen/tailnet_pb.js";
import { SESSION_ID_KEY } from "coder-protocol/session-id";
import { bytesEqual } from "wg-userspace/base/bytes";
import { formatIp, parsePrefix } from "wg-userspace/base/ip";
import type { PeerAuth } from "./peer-auth.ts";

export type Response = MessageInitShape<typeof CoordinateResponseSchema>;

/** Sends answers to a peer. */
export interface PeerSink {
  /** Returns false if the peer does not keep up; it is then removed. */
  send(response: Response): boolean;
  /** The coordinator is done with this peer; what was sent before must still arrive. */
  end(): void;
}

export interface PeerState {
  readonly id: string;
  readonly auth: PeerAuth;
  readonly sink: PeerSink;
  readonly connectedAtMs: number;
  node: Node | undefined;
  /** When it last sent its node. */
  nodeAtMs: number;
  /** The latest of the keys before that of `node`. */
  readonly oldKeys: Uint8Array[];
  /** What this peer was last sent about each other peer. */
  readonly sentNodes: Map<string, SentNode>;
}

/** One connected peer as the debug pages show it. */
export interface PeerDescription {
  readonly id: string;
  readonly kind: PeerAuth["kind"];
  readonly connectedAtMs: number;
  readonly node: Node | undefined;
  readonly nodeAtMs: number;
  /** Destinations, connected or not. */
  readonly tunnelsTo: readonly string[];
}

/** A peer in the form in which partners are informed of it, on whichever server. */
export interface Known {
  readonly id: string;
  readonly node: Node;
  readonly sessionId: string | undefined;
  /** The right that its tunnels depend on, sealed. */
  readonly right: Uint8Array | undefined;
}

/** "lost" means that the peer may still be in the tunnel. Nothing is kept about peers that are gone. */
export type SentNode = { readonly node: Node } | "lost";

/** The key without its prefix "np". */
export function rawKey(node: Node): Uint8Array {
  return node.key.subarray(2);
}

/** All keys with which a peer may still use the relay. */
export function keysOf(peer: PeerState): Uint8Array[] {
  return peer.node === undefined ? peer.oldKeys : [...peer.oldKeys, rawKey(peer.node)];
}

/** The reason text of an update. Stock agents log the whole text, ours log the session id. */
export function reasonOf(sessionId: string | undefined): string {
  return sessionId === undefined ? "node update" : `node update ${SESSION_ID_KEY}=${sessionId}`;
}

export function goneUpdate(id: string, reason: string) {
  return { id: uuidToBytes(id), kind: Kind.DISCONNECTED, reason };
}

/** The holder of a peer's keys if its user is known only to another server. */
export function remoteHolder(id: string): string {
  return `peer ${id}`;
}

export function isKey(key: Uint8Array | undefined, other: Uint8Array): boolean {
  return key !== undefined && bytesEqual(key, other);
}

/** The addresses of a node, in the form that formatIp writes. */
export function addressesOf(node: Node | undefined): string[] {
  return (node?.addresses ?? []).flatMap((text) => {
    const own = parsePrefix(text);
    return own === undefined ? [] : formatIp(own.address);
  });
}
