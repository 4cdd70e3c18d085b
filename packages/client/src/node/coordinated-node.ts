import type { NodeInfo } from "coder-protocol/tailnet/node";
import type { DerpMap } from "wg-userspace/derp/map";
import type { LostPeer, PeerUpdate } from "./peer-programming.ts";

/** A node as the control connection sees it: what it publishes, and what it is sent. */
export interface CoordinatedNode {
  /** Undefined while the node could not be reached. */
  self(): NodeInfo | undefined;
  /** Calls back whenever {@link self} would return something new. Returns a function that removes the listener. */
  onSelfChanged(listener: () => void): () => void;
  /** The control plane has received what {@link self} returned. */
  selfSent(): void;
  /** Returns the ids of the newly programmed peers. */
  handlePeerUpdates(updates: readonly PeerUpdate[]): string[];
  /** Lost peers that are still in the tunnel. */
  lostPeers(): LostPeer[];
  setDerpMap(map: DerpMap): void;
  /** The control connection ended. */
  coordinationLost(): void;
}
