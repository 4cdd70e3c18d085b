/** One peer as the coordinator holds it, and the small parts of what it is answered. */
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

/** How a peer is answered. */
export interface PeerSink {
  /** False when the peer does not keep up: it is removed then. */
  send(response: Response): boolean;
  /** The coordinator is done with this peer; what was sent before still has to arrive. */
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
  /** Of the keys before that of `node`, the latest. */
  readonly oldKeys: Uint8Array[];
  /** What this peer was last sent about each other peer. */
  readonly sentNodes: Map<string, SentNode>;
}

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

/** A peer as partners are informed of it, wherever it is connected. */
export interface Known {
  readonly id: string;
  readonly node: Node;
  readonly sessionId: string | undefined;
  /** What its tunnels rest on, sealed. */
  readonly right: Uint8Array | undefined;
}

/** A lost peer may still be in the tunnel. Of those that are gone nothing is kept. */
export type SentNode = { readonly node: Node } | "lost";

/** Without the "np" in front. */
export function rawKey(node: Node): Uint8Array {
  return node.key.subarray(2);
}

/** All keys a peer may still use the relay with. */
export function keysOf(peer: PeerState): Uint8Array[] {
  return peer.node === undefined ? peer.oldKeys : [...peer.oldKeys, rawKey(peer.node)];
}

/** Agents log it: stock ones the whole text, ours the session. */
export function reasonOf(sessionId: string | undefined): string {
  return sessionId === undefined ? "node update" : `node update ${SESSION_ID_KEY}=${sessionId}`;
}

export function goneUpdate(id: string, reason: string) {
  return { id: uuidToBytes(id), kind: Kind.DISCONNECTED, reason };
}

/** Who answers for the keys of a peer whose user is known to another server only. */
export function remoteHolder(id: string): string {
  return `peer ${id}`;
}

export function isKey(key: Uint8Array | undefined, other: Uint8Array): boolean {
  return key !== undefined && bytesEqual(key, other);
}

/** Whether the node has this address, in the form of formatIp. */
export function hasAddress(node: Node | undefined, wanted: string): boolean {
  return (
    node?.addresses.some((text) => {
      const own = parsePrefix(text);
      return own !== undefined && formatIp(own.address) === wanted;
    }) ?? false
  );
}
