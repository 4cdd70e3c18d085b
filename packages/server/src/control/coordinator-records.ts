/** What the coordinators of several servers exchange about their peers. */
import type { Node } from "coder-protocol/gen/tailnet_pb.js";
import type { PeerAuth } from "./peer-auth.ts";

/** The reason for the end of a peer that has connected to another server. */
export const MOVED = "moved";

/** How a peer that is no longer connected ended. `expelled`: its right has ended, and with it its use of the relay. */
export type PeerEnd = "lost" | "disconnected" | "expelled";

/** A change of this server's own peers, for the other servers. */
export type CoordinatorRecord =
  | { readonly kind: "connected"; readonly id: string; readonly auth: PeerAuth }
  | { readonly kind: "node"; readonly id: string; readonly node: Node }
  | { readonly kind: "gone"; readonly id: string; readonly end: PeerEnd; readonly reason: string }
  | { readonly kind: "tunnel"; readonly from: string; readonly to: string; readonly gone: boolean }
  | { readonly kind: "signal"; readonly from: string; readonly to: string };

/** A peer that is connected to another server. */
export interface RemotePeer {
  readonly key: Uint8Array | undefined;
  /** Undefined while the node is unknown here. */
  readonly node: Node | undefined;
  readonly sessionId: string | undefined;
  /** The right that its tunnels depend on, sealed. */
  readonly right: Uint8Array | undefined;
}

/** Passes on changes of the coordinator's own peers. */
export interface CoordinatorRecorder {
  /** Whether there is another server, with peers of its own. */
  readonly hasSiblings: boolean;
  record(record: CoordinatorRecord): void;
}
