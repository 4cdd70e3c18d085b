/** What the shells around a {@link NodeCore} share on Node and in a page: a clock, one timer, listeners. */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import type { Instant } from "wg-userspace/base/instant";
import type { DerpMap } from "wg-userspace/derp/map";
import { Listeners } from "../base/listeners.ts";
import type { CoordinatedNode } from "./coordinated-node.ts";
import type { NodeCore, NodeEvent } from "./node-core.ts";
import type { LostPeer, PeerUpdate } from "./peer-programming.ts";

/** @typeParam OwnEvent Events of this shell besides those of the core. */
export abstract class NodeShell<OwnEvent> implements CoordinatedNode {
  protected readonly core: NodeCore;
  protected readonly ownEvents = new Listeners<OwnEvent>();
  protected closed = false;
  readonly #now: () => Instant;
  #timer: ReturnType<typeof setTimeout> | undefined;

  protected constructor(core: NodeCore, now: () => Instant) {
    this.core = core;
    this.#now = now;
  }

  self(): NodeInfo | undefined {
    return this.core.self(Date.now());
  }

  selfSent(): void {
    this.core.selfSent();
  }

  onSelfChanged(listener: () => void): () => void {
    return this.core.selfChanges.add(listener);
  }

  /** @returns A function that removes the listener. */
  on(listener: (event: NodeEvent | OwnEvent) => void): () => void {
    const stops = [this.core.events.add(listener), this.ownEvents.add(listener)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  isProgrammed(id: string): boolean {
    return this.core.isProgrammed(id);
  }

  setDerpMap(map: DerpMap): void {
    if (this.closed) return;
    this.core.setDerpMap(map, this.#now());
    this.#rearm();
  }

  handlePeerUpdates(updates: readonly PeerUpdate[]): string[] {
    const programmed = this.core.handlePeerUpdates(updates, this.#now());
    this.#rearm();
    return programmed;
  }

  lostPeers(): LostPeer[] {
    return this.core.lostPeers();
  }

  coordinationLost(): void {
    this.core.coordinationLost(this.#now());
    this.#rearm();
  }

  /** {@link NodeCore.expelPeers} */
  expelPeers(): void {
    this.core.expelPeers(this.#now());
    this.#rearm();
  }

  /** {@link NodeCore.relayPeerGone} */
  relayPeerGone(regionId: number, key: Uint8Array): void {
    this.core.relayPeerGone(regionId, key, this.#now());
    this.#rearm();
  }

  /** {@link NodeCore.relayReady} */
  protected noteRelayReady(regionId: number): void {
    this.core.relayReady(regionId, this.#now());
    this.#rearm();
  }

  /** {@link NodeCore.relayLost} */
  protected noteRelayLost(regionId: number): void {
    this.core.relayLost(regionId, this.#now());
    this.#rearm();
  }

  /** Ends the timer; later messages of the control plane are ignored. */
  protected stop(): void {
    this.closed = true;
    clearTimeout(this.#timer);
  }

  #rearm(): void {
    clearTimeout(this.#timer);
    const at = this.core.nextTimeout();
    if (at === undefined || this.closed) return;
    const timer: unknown = setTimeout(
      () => {
        this.core.handleTimeout(this.#now());
        this.#rearm();
      },
      Math.max(1, at - this.#now()),
    );
    this.#timer = timer as ReturnType<typeof setTimeout>;
    // On Node a timer is an object that would keep the process alive; in a page it is a number.
    if (typeof timer === "object" && timer !== null && "unref" in timer) this.#timer?.unref();
  }
}
