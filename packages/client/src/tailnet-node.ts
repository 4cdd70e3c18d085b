/**
 * One node of the tunnel network: an engine, its relays, and the peers that the coordinator lets it talk to. Used by the
 * client library for one process's connections and by the agent for all its clients. Survives any number of control
 * connections.
 */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import type { EngineError } from "wg-userspace/base/errors";
import type { Instant } from "wg-userspace/base/instant";
import { parseIp, parsePrefix } from "wg-userspace/base/ip";
import {
  clampPrivateKey,
  discoPublicKey,
  formatDiscoKey,
  keyId,
  nodePrivateKey,
  nodePublicKey,
} from "wg-userspace/base/keys";
import type { Logger } from "wg-userspace/base/ports";
import { HomeChooser } from "wg-userspace/derp/home";
import { type DerpMap, hasRelay, rewriteEmbedded } from "wg-userspace/derp/map";
import type { EngineEvent } from "wg-userspace/engine";
import { monotonicNow } from "wg-userspace/io/clock";
import { nodeCryptoSuite, nodeRandom } from "wg-userspace/io/crypto-suite";
import { Driver } from "wg-userspace/io/driver";
import type { RelayState } from "wg-userspace/io/relay-connection";
import { measureLatency } from "wg-userspace/io/relay-latency";
import type { Path } from "wg-userspace/magicsock/path";
import type { Deployment } from "./api.ts";
import { type PeerAction, PeerProgramming, type PeerUpdate } from "./peer-programming.ts";

/** Measured again this often: networks change, and a home that became slow should not stay home. */
const LATENCY_INTERVAL_MS = 5 * 60_000;
/** Keepalive of a peer whose tunnel must stay usable through idle NATs and relays. */
const PERSISTENT_KEEPALIVE_MS = 25_000;

export interface TailnetNodeOptions {
  readonly deployment: Deployment;
  /** Our own inner addresses, text without prefix length. */
  readonly addresses: readonly string[];
  /** Unique number of this node on the control plane. */
  readonly nodeId: bigint;
  /** Local UDP port, 0 for any; absent: relays only. */
  readonly udpPort?: number;
  readonly forceWebSocket?: boolean;
  readonly maxPeers?: number;
  /** Peers that we asked for, as opposed to peers that asked for us. */
  readonly isDestination: (id: string) => boolean;
  readonly logger?: Logger;
}

export type TailnetNodeEvent =
  | { readonly kind: "peer-programmed"; readonly id: string }
  | { readonly kind: "peer-removed"; readonly id: string }
  | { readonly kind: "session-established"; readonly id: string }
  | { readonly kind: "handshake-gave-up"; readonly id: string }
  | { readonly kind: "path-changed"; readonly id: string; readonly path: Path | undefined }
  | {
      readonly kind: "relay";
      readonly regionId: number;
      readonly state: RelayState;
      readonly error: EngineError | undefined;
    }
  | { readonly kind: "woke"; readonly awayMs: number };

export class TailnetNode implements AsyncDisposable {
  readonly driver: Driver;
  readonly #options: TailnetNodeOptions;
  readonly #programming: PeerProgramming;
  readonly #disco = formatDiscoKey(discoPublicKey(nodeCryptoSuite.publicKey(clampPrivateKey(nodeRandom.bytes(32)))));
  readonly #home = new HomeChooser(nodeRandom);
  readonly #idByKey = new Map<string, string>();
  readonly #listeners = new Set<(event: TailnetNodeEvent) => void>();
  readonly #selfListeners = new Set<() => void>();
  readonly #forcedWebSocket = new Map<number, string>();
  #latencyMs = new Map<number, number>();
  #map: DerpMap | undefined;
  #homeRegion = 0;
  #timer: NodeJS.Timeout | undefined;
  #latencyTimer: NodeJS.Timeout | undefined;
  #measuring = new AbortController();
  #closed = false;

  static async open(options: TailnetNodeOptions): Promise<TailnetNode> {
    // The driver reports events only after open returned: nothing runs before the next turn.
    let node: TailnetNode | undefined;
    const route = (use: (to: TailnetNode) => void): void => {
      if (node !== undefined) use(node);
    };
    const driver = await Driver.open(
      {
        privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
        addresses: options.addresses.map(addressOf),
        ...(options.maxPeers === undefined ? {} : { maxPeers: options.maxPeers }),
        ...(options.udpPort === undefined ? {} : { udpPort: options.udpPort }),
        ...(options.logger === undefined ? {} : { logger: options.logger }),
        relay: {
          dialer: options.deployment.dialer,
          headers: () => options.deployment.extraHeaders(),
          forceWebSocket: options.forceWebSocket ?? false,
        },
      },
      {
        onEngineEvent: (event) => route((to) => to.#engineEvent(event)),
        onRelayState: (regionId, state, error) => route((to) => to.#emit({ kind: "relay", regionId, state, error })),
        onForcedWebSocket: (regionId, reason) => route((to) => to.#forced(regionId, reason)),
        onWake: (awayMs) => route((to) => to.#emit({ kind: "woke", awayMs })),
      },
    );
    node = new TailnetNode(driver, options);
    return node;
  }

  private constructor(driver: Driver, options: TailnetNodeOptions) {
    this.driver = driver;
    this.#options = options;
    this.#programming = new PeerProgramming({
      isDestination: options.isDestination,
      lastHandshakeAt: (peer) => this.driver.engine.peerStatus(nodePublicKey(peer.key))?.lastHandshakeAt,
      maxPeers: options.maxPeers ?? 1024,
    });
  }

  /** What the coordinator is told about us; undefined while we have no home relay and nobody could reach us. */
  self(): NodeInfo | undefined {
    if (this.#homeRegion === 0) return undefined;
    const prefixes = this.#options.addresses.map((address) => `${address}/128`);
    return {
      id: this.#options.nodeId,
      asOfUnixMs: Date.now(),
      key: this.driver.publicKey,
      disco: this.#disco,
      preferredDerp: this.#homeRegion,
      derpLatency: new Map([...this.#latencyMs].map(([region, ms]) => [`${region}-v4`, ms / 1000])),
      derpForcedWebsocket: new Map(this.#forcedWebSocket),
      addresses: prefixes,
      allowedIps: prefixes,
      endpoints: [],
    };
  }

  /** Called whenever {@link self} would say something new. Returns the way to stop that. */
  onSelfChanged(listener: () => void): () => void {
    this.#selfListeners.add(listener);
    return () => this.#selfListeners.delete(listener);
  }

  on(listener: (event: TailnetNodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get derpMap(): DerpMap | undefined {
    return this.#map;
  }

  get homeRegion(): number {
    return this.#homeRegion;
  }

  /** A relay map from the control plane, as it came. */
  setDerpMap(map: DerpMap): void {
    if (this.#closed) return;
    this.#map = rewriteEmbedded(map, this.#options.deployment.url.href);
    this.driver.setDerpMap(this.#map);
    this.#measuring.abort();
    this.#measuring = new AbortController();
    // One relay needs no choice; with several the first answer decides, and the home may move when all are measured.
    this.#chooseHome(new Map());
    void this.#measure(this.#measuring.signal);
  }

  /** Updates from the coordinator. Returns the ids that were programmed now: an agent answers those with "ready". */
  handlePeerUpdates(updates: readonly PeerUpdate[]): string[] {
    const programmed: string[] = [];
    const now = monotonicNow();
    for (const update of updates) {
      for (const action of this.#programming.handle(update, now)) {
        this.#apply(action);
        if (action.kind === "program") programmed.push(action.id);
      }
    }
    this.#rearm();
    return programmed;
  }

  /** The control connection ended: peers stay, counted as lost from now on. */
  coordinationLost(): void {
    this.#programming.connectionLost(monotonicNow());
    this.#rearm();
  }

  isProgrammed(id: string): boolean {
    return this.#programming.programmed().includes(id);
  }

  /** What the coordinator last said about a peer. */
  peerNode(id: string): NodeInfo | undefined {
    return this.#programming.node(id);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#latencyTimer);
    this.#measuring.abort();
    await this.driver.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #apply(action: PeerAction): void {
    const key = nodePublicKey(action.node.key);
    if (action.kind === "remove") {
      this.#idByKey.delete(keyId(key));
      this.driver.removePeer(key);
      this.#emit({ kind: "peer-removed", id: action.id });
      return;
    }
    this.#idByKey.set(keyId(key), action.id);
    this.driver.setPeer({
      publicKey: key,
      allowedIPs: action.node.allowedIps.flatMap((text) => parsePrefix(text) ?? []),
      homeRegion: action.node.preferredDerp,
      ...(this.#options.isDestination(action.id) ? { persistentKeepaliveMs: PERSISTENT_KEEPALIVE_MS } : {}),
    });
    this.#emit({ kind: "peer-programmed", id: action.id });
  }

  #rearm(): void {
    clearTimeout(this.#timer);
    const at: Instant | undefined = this.#programming.nextTimeout();
    if (at === undefined || this.#closed) return;
    this.#timer = setTimeout(
      () => {
        for (const action of this.#programming.handleTimeout(monotonicNow())) this.#apply(action);
        this.#rearm();
      },
      Math.max(1, at - monotonicNow()),
    );
    this.#timer.unref();
  }

  async #measure(signal: AbortSignal): Promise<void> {
    const map = this.#map;
    if (map === undefined) return;
    const relays = [...map.regions.values()].filter(hasRelay);
    if (relays.length > 1) {
      const measured = new Map<number, number>();
      await Promise.all(
        relays.map(async (region) => {
          try {
            const headers = await this.#options.deployment.extraHeaders();
            measured.set(
              region.regionId,
              await measureLatency(region, { dialer: this.#options.deployment.dialer, headers, signal }),
            );
          } catch (error) {
            this.#options.logger?.log("debug", "relay not measured", { region: region.regionId, error: String(error) });
          }
        }),
      );
      if (signal.aborted) return;
      this.#chooseHome(measured);
    }
    this.#latencyTimer = setTimeout(() => void this.#measure(signal), LATENCY_INTERVAL_MS);
    this.#latencyTimer.unref();
  }

  #chooseHome(latencyMs: Map<number, number>): void {
    const home = this.#home.report(this.#map!, latencyMs, monotonicNow()) ?? 0;
    const changed = home !== this.#homeRegion || latencyMs.size > 0;
    this.#latencyMs = latencyMs;
    this.#homeRegion = home;
    if (home !== 0) this.driver.setHomeRegion(home);
    if (changed) this.#selfChanged();
  }

  #forced(regionId: number, reason: string): void {
    this.#forcedWebSocket.set(regionId, reason);
    this.#selfChanged();
  }

  #selfChanged(): void {
    for (const listener of this.#selfListeners) listener();
  }

  #engineEvent(event: EngineEvent): void {
    const id = this.#idByKey.get(keyId(event.peer));
    if (id === undefined) return;
    if (event.kind === "path-changed") this.#emit({ kind: "path-changed", id, path: event.path });
    else this.#emit({ kind: event.kind, id });
  }

  #emit(event: TailnetNodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

function addressOf(text: string) {
  const address = parseIp(text);
  if (address === undefined) throw new TypeError(`not an IP address: "${text}"`);
  return address;
}
