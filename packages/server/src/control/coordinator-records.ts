/** What the coordinators of several servers exchange of their peers. */
import type { Node } from "coder-protocol/gen/tailnet_pb.js";
import type { PeerAuth } from "./peer-auth.ts";

/** How a peer that is not connected any more ended. `expelled`: its right is over, and so is its use of the relay. */
export type PeerEnd = "lost" | "disconnected" | "expelled";

/** A change of what this server's own peers are, for servers beside it. */
export type CoordinatorRecord =
  | { readonly kind: "connected"; readonly id: string; readonly auth: PeerAuth }
  | { readonly kind: "node"; readonly id: string; readonly node: Node }
  | { readonly kind: "gone"; readonly id: string; readonly end: PeerEnd; readonly reason: string }
  | { readonly kind: "tunnel"; readonly from: string; readonly to: string; readonly gone: boolean }
  | { readonly kind: "signal"; readonly from: string; readonly to: string };

/** A peer that is connected to another server. */
export interface RemotePeer {
  readonly key: Uint8Array | undefined;
  /** Undefined while it is not known here. */
  readonly node: Node | undefined;
  readonly sessionId: string | undefined;
  /** What its tunnels rest on, sealed. */
  readonly right: Uint8Array | undefined;
}

/** Who passes on what becomes of the coordinator's own peers. */
export interface CoordinatorRecorder {
  /** Whether there is another server, with peers of its own. */
  readonly hasSiblings: boolean;
  record(record: CoordinatorRecord): void;
}
