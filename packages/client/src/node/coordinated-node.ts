import type { NodeInfo } from "coder-protocol/tailnet/node";
import type { DerpMap } from "wg-userspace/derp/map";
import type { LostPeer, PeerUpdate } from "./peer-programming.ts";

/** A node as the control connection sees it: what it publishes, and what it is sent. */
export interface CoordinatedNode {
  /** Undefined while we could not be reached. */
  self(): NodeInfo | undefined;
  /** Calls back whenever {@link self} would return something new. Returns the way to stop that. */
  onSelfChanged(listener: () => void): () => void;
  /** The control plane took what {@link self} returned. */
  selfSent(): void;
  /** Returns the ids that were programmed now. */
  handlePeerUpdates(updates: readonly PeerUpdate[]): string[];
  /** Lost peers that are still in the tunnel. */
  lostPeers(): LostPeer[];
  setDerpMap(map: DerpMap): void;
  /** The control connection ended. */
  coordinationLost(): void;
}
