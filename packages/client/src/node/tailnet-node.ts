/**
 * One node of the tunnel network: an engine, its relays, and the peers that the coordinator lets it talk to. Used by the
 * client library for one process's connections and by the agent for all its clients. Survives any number of control
 * connections.
 */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { EngineError } from "wg-userspace/base/errors";
import type { Instant } from "wg-userspace/base/instant";
import { type AddrPort, parseAddrPort, parseIp, parsePrefix } from "wg-userspace/base/ip";
import {
  clampPrivateKey,
  discoPrivateKey,
  formatDiscoKey,
  keyId,
  nodePrivateKey,
  nodePublicKey,
  parseDiscoKey,
} from "wg-userspace/base/keys";
import type { Logger } from "wg-userspace/base/ports";
import { HomeChooser } from "wg-userspace/derp/home";
import { type DerpMap, rewriteEmbedded } from "wg-userspace/derp/map";
import type { EngineEvent } from "wg-userspace/engine";
import { Driver, type NetworkChange } from "wg-userspace/io/driver";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import type { RelayState } from "wg-userspace/io/relay/relay-connection";
import type { Path } from "wg-userspace/magicsock/path";
import { PortChangePolicy } from "wg-userspace/magicsock/port-change";
import type { NetReport } from "wg-userspace/netcheck/report";
import { sleep } from "../base/backoff.ts";
import type { Deployment } from "../rest/deployment.ts";
import { NetworkWatch } from "./network-watch.ts";
import type { DirectBlock, DirectSample, DiscoPong, PathRef, PeerPathReport } from "./path-report.ts";
import { candidateReports, endpointTexts, pathRef, regionRef, relayChoice } from "./peer-paths.ts";
import { type PeerAction, PeerProgramming, type PeerUpdate } from "./peer-programming.ts";
import { findRegion, routeLatencies } from "./relay-choice.ts";

/**
 * Largest inner packet: what a path over plain Ethernet carries inside WireGuard over IPv6. A peer gets more than 1280 only
 * after its path was seen to carry it.
 */
const MAX_MTU = 1420;
/** Keepalive of a peer whose tunnel must stay usable through idle NATs and relays. */
const PERSISTENT_KEEPALIVE_MS = 25_000;
/** A peer that came this long ago may still be trying its first handshake. */
const NEWCOMER_MS = 30_000;

export interface TailnetNodeOptions {
  readonly deployment: Deployment;
  /** Our own inner addresses, text without prefix length. */
  readonly addresses: readonly string[];
  /** Unique number of this node on the control plane. */
  readonly nodeId: bigint;
  /** Local UDP port; absent or 0: any. */
  readonly udpPort?: number | undefined;
  /** Home relay by id, code or name, instead of the nearest; ignored while the map does not have it. */
  readonly region?: string | undefined;
  /** What forbids direct connections, if anything does: then everything goes by relay. */
  readonly directBlocked?: DirectBlock;
  readonly forceWebSocket?: boolean | undefined;
  readonly maxPeers?: number | undefined;
  /** How long nothing may be heard of a client whose control connection was closed without a goodbye; default: 2 min. */
  readonly goneAfterMs?: number | undefined;
  /** Peers that we asked for, as opposed to peers that asked for us. */
  readonly isDestination: (id: string) => boolean;
  readonly logger?: Logger | undefined;
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
  | { readonly kind: "woke"; readonly awayMs: number }
  /** Our address is another one, or we slept: connections made before are dead, whether they know it or not. */
  | { readonly kind: "moved" };

export class TailnetNode implements AsyncDisposable {
  readonly driver: Driver;
  readonly #options: TailnetNodeOptions;
  readonly #programming: PeerProgramming;
  readonly #watch: NetworkWatch;
  readonly #home = new HomeChooser(nodeRandom);
  readonly #idByKey = new Map<string, string>();
  readonly #listeners = new Set<(event: TailnetNodeEvent) => void>();
  readonly #selfListeners = new Set<() => void>();
  readonly #forcedWebSocket = new Map<number, string>();
  /** Time of the first direct path to each peer, by id, since the peer came. */
  readonly #directAfterMs = new Map<string, number>();
  readonly #programmedAt = new Map<string, Instant>();
  #endpoints: readonly AddrPort[] = [];
  #sentNode = false;
  readonly #portChanges = new PortChangePolicy();
  #latencyMs: ReadonlyMap<number, number> = new Map();
  #map: DerpMap | undefined;
  #homeRegion = 0;
  #timer: NodeJS.Timeout | undefined;
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
        ...(options.directBlocked === undefined ? { udpPort: options.udpPort ?? 0 } : {}),
        mtu: MAX_MTU,
        disco: {
          privateKey: discoPrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
          blockDirect: options.directBlocked !== undefined,
        },
        ...(options.logger === undefined ? {} : { logger: options.logger }),
        relay: {
          dialer: options.deployment.dialer,
          headers: () => options.deployment.extraHeaders(),
          forceWebSocket: options.forceWebSocket ?? false,
        },
      },
      {
        onEngineEvent: (event) => route((to) => to.#engineEvent(event)),
        onRelayState: (regionId, state, error) => route((to) => to.#relayState(regionId, state, error)),
        onForcedWebSocket: (regionId, reason) => route((to) => to.#forced(regionId, reason)),
        onWake: (awayMs) => route((to) => to.#emit({ kind: "woke", awayMs })),
        onNetworkChange: (change) => route((to) => to.#networkChanged(change)),
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
      lastReceivedAt: (peer) => this.driver.engine.peerStatus(nodePublicKey(peer.key))?.lastReceivedAt,
      maxPeers: options.maxPeers ?? 1024,
      ...(options.goneAfterMs === undefined ? {} : { goneAfterMs: options.goneAfterMs }),
    });
    this.#watch = new NetworkWatch({
      driver,
      deployment: options.deployment,
      blockDirect: options.directBlocked !== undefined,
      fixedPort: options.udpPort !== undefined && options.udpPort !== 0,
      inUse: () => this.#programming.programmed().length > 0,
      onEndpoints: (endpoints, guesses) => this.#setEndpoints(endpoints, guesses),
      onLatencies: (latencyMs) => this.#chooseHome(latencyMs),
      ...(options.logger === undefined ? {} : { logger: options.logger }),
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
      disco: formatDiscoKey(this.driver.discoKey!),
      preferredDerp: this.#homeRegion,
      derpLatency: new Map([...this.#latencyMs].map(([region, ms]) => [`${region}-v4`, ms / 1000])),
      derpForcedWebsocket: new Map(this.#forcedWebSocket),
      addresses: prefixes,
      allowedIps: prefixes,
      endpoints: endpointTexts(this.#endpoints),
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

  get nodeId(): bigint {
    return this.#options.nodeId;
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
    // One relay needs no choice; of several one is taken at once, and the home may move when all are measured.
    this.#chooseHome(new Map());
    this.#watch.setMap(this.#map);
  }

  /** Updates from the coordinator. Returns the ids that were programmed now: an agent answers those with "ready". */
  handlePeerUpdates(updates: readonly PeerUpdate[]): string[] {
    const programmed: string[] = [];
    const now = monotonicNow();
    for (const update of updates) {
      if (update.kind === "lost" && update.byClose)
        this.#options.logger?.log("info", "a control connection was closed without a goodbye", { peer: update.id });
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
    this.doubt();
  }

  /** Our own right to be in the network ended, by the deployment's word: so did the right of all who reach us through it. */
  expelPeers(): void {
    for (const action of this.#programming.expelAll()) this.#apply(action);
    this.#rearm();
  }

  /**
   * Something hints that connections may be dead without having said so, as after a router forgot its flows: relays have to
   * give a sign of life within seconds, or are dialled again. Cheap where they were heard a moment ago.
   */
  doubt(): void {
    this.driver.proveRelays();
  }

  isProgrammed(id: string): boolean {
    return this.#programming.programmed().includes(id);
  }

  /** What the coordinator last said about a peer. */
  peerNode(id: string): NodeInfo | undefined {
    return this.#programming.node(id);
  }

  /** Regions that could only be reached by WebSocket, and why. */
  get forcedWebSocket(): ReadonlyMap<number, string> {
    return this.#forcedWebSocket;
  }

  /** Our last network report; undefined before the first. */
  get netReport(): NetReport | undefined {
    return this.#watch.report;
  }

  /** A fresh and complete look at our network; the picture that is kept is not touched. */
  async checkNetwork(signal: AbortSignal): Promise<NetReport> {
    return this.#watch.check(signal);
  }

  /** One disco ping to a peer: by relay and directly, the first pong wins. Rejects with ERR_NO_PEER or `signal.reason`. */
  async discoPing(id: string, options: { readonly signal: AbortSignal }): Promise<DiscoPong> {
    const node = this.peerNode(id);
    if (node === undefined || !this.isProgrammed(id))
      throw new EngineError("ERR_NO_PEER", "the peer is not known yet", { retryable: true });
    const { rttMs, path } = await this.driver.pingPeer(nodePublicKey(node.key), options);
    return { rttMs, path: this.pathRef(path)! };
  }

  /**
   * Pings a peer on the direct path alone, `count` times at `everyMs`, and waits `waitMs` for the last answers. Ends early
   * with `signal`.
   */
  async sampleDirect(
    id: string,
    options: {
      readonly count: number;
      readonly everyMs: number;
      readonly waitMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<DirectSample> {
    const node = this.peerNode(id);
    const { count, everyMs, waitMs, signal } = options;
    let sent = 0;
    let answered = 0;
    let lastAnswered = 0;
    while (node !== undefined && sent < count && !signal.aborted) {
      const number = sent + 1;
      const onPong = (): void => {
        answered++;
        lastAnswered = Math.max(lastAnswered, number);
      };
      if (!this.driver.pingDirect(nodePublicKey(node.key), onPong)) break;
      sent = number;
      await sleep(everyMs, signal).catch(() => undefined); // the loop's condition ends it
    }
    if (answered < sent) await sleep(waitMs, signal).catch(() => undefined); // what has come by then counts
    return { sent, answered, silentAtEnd: sent - lastAnswered };
  }

  /** A path with the names of the relay map. */
  pathRef(path: Path | undefined): PathRef | undefined {
    return pathRef(path, this.#map);
  }

  /** Everything known about the way to a peer. */
  pathReport(id: string): PeerPathReport {
    const now = monotonicNow();
    const node = this.peerNode(id);
    const status =
      node !== undefined && this.isProgrammed(id) ? this.driver.engine.peerStatus(nodePublicKey(node.key)) : undefined;
    const relayRttMs = status?.endpoint.relayRttMs;
    const timeToDirectMs = this.#directAfterMs.get(id);
    const choice = relayChoice(status?.endpoint.finder);
    return {
      peerId: id,
      path: this.pathRef(status?.path),
      candidates: candidateReports(status?.endpoint.finder, now),
      peerRegion: node === undefined || node.preferredDerp === 0 ? undefined : regionRef(node.preferredDerp, this.#map),
      ...(relayRttMs === undefined ? {} : { relayRttMs }),
      ...(choice === undefined ? {} : { relayChoice: choice }),
      peerEndpoints: node?.endpoints ?? [],
      ownRegion: this.#homeRegion === 0 ? undefined : regionRef(this.#homeRegion, this.#map),
      ownEndpoints: endpointTexts(this.#endpoints),
      sentNode: this.#sentNode,
      receivedNode: node !== undefined,
      ...(status?.lastHandshakeAt === undefined ? {} : { lastHandshakeAgeMs: now - status.lastHandshakeAt }),
      ...(status?.lastReceivedAt === undefined ? {} : { lastHeardAgeMs: now - status.lastReceivedAt }),
      ...(timeToDirectMs === undefined ? {} : { timeToDirectMs }),
      directBlocked: this.#options.directBlocked,
      mtu: status?.endpoint.finder?.mtu ?? MAX_MTU,
      rxBytes: status?.rxBytes ?? 0,
      txBytes: status?.txBytes ?? 0,
    };
  }

  /** The control plane took what {@link self} said. */
  selfSent(): void {
    this.#sentNode = true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#watch.close();
    await this.driver.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #apply(action: PeerAction): void {
    const key = nodePublicKey(action.node.key);
    if (action.kind === "hang-up") {
      this.#options.logger?.log("info", "a client is gone without a goodbye: its connections end", { peer: action.id });
      this.#abortConnections(action.node);
      return;
    }
    if (action.kind === "remove") {
      this.#idByKey.delete(keyId(key));
      this.#programmedAt.delete(action.id);
      this.#directAfterMs.delete(action.id);
      this.driver.removePeer(key);
      if (action.over) this.#abortConnections(action.node);
      this.#emit({ kind: "peer-removed", id: action.id });
      return;
    }
    this.#idByKey.set(keyId(key), action.id);
    if (!this.#programmedAt.has(action.id)) {
      this.#programmedAt.set(action.id, monotonicNow());
      this.#watch.freshen();
      // It will call us by relay, and an idle one may have died long ago.
      this.doubt();
    }
    this.driver.setPeer({
      publicKey: key,
      allowedIPs: action.node.allowedIps.flatMap((text) => parsePrefix(text) ?? []),
      homeRegion: action.node.preferredDerp,
      udpEndpoints: action.node.endpoints.flatMap((text) => parseAddrPort(text) ?? []),
      ...discoOf(action.node.disco),
      ...(this.#options.isDestination(action.id) ? { persistentKeepaliveMs: PERSISTENT_KEEPALIVE_MS } : {}),
    });
    // The route to a workspace has two legs: with the second one known, another relay may be the better home.
    if (this.#options.isDestination(action.id) && this.#latencyMs.size > 1) this.#chooseHome(this.#latencyMs);
    this.#emit({ kind: "peer-programmed", id: action.id });
  }

  #abortConnections(peer: NodeInfo): void {
    this.driver.abortConnections(peer.allowedIps.flatMap((text) => parsePrefix(text) ?? []));
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

  #networkChanged(change: NetworkChange): void {
    this.#watch.networkChanged(change !== "added");
    if (change === "moved") this.#emit({ kind: "moved" });
  }

  #setEndpoints(endpoints: readonly AddrPort[], guesses: readonly AddrPort[]): void {
    const changed = endpointTexts(endpoints).join() !== endpointTexts(this.#endpoints).join();
    this.#endpoints = endpoints;
    this.driver.setOwnEndpoints(endpoints, guesses);
    if (changed && this.#homeRegion !== 0) this.#selfChanged();
  }

  #chooseHome(latencyMs: ReadonlyMap<number, number>): void {
    const map = this.#map;
    if (map === undefined) return;
    const { region } = this.#options;
    const named = region === undefined ? undefined : findRegion(map, region)?.regionId;
    const measured = this.#home.report(map, routeLatencies(latencyMs, this.#destinationLatency()), monotonicNow());
    const home = named ?? measured ?? 0;
    const changed = home !== this.#homeRegion || latencyMs.size > 0;
    this.#latencyMs = latencyMs;
    this.#homeRegion = home;
    if (home !== 0) this.driver.setHomeRegion(home);
    if (changed) this.#selfChanged();
  }

  /** What the only peer that we asked for says about its way to the relays; an agent has many peers and asks for none. */
  #destinationLatency(): ReadonlyMap<string, number> | undefined {
    const destinations = this.#programming.programmed().filter((id) => this.#options.isDestination(id));
    return destinations.length === 1 ? this.peerNode(destinations[0]!)?.derpLatency : undefined;
  }

  #relayState(regionId: number, state: RelayState, error: EngineError | undefined): void {
    if (state === "ready" && regionId === this.#homeRegion) this.#callNewcomers();
    this.#emit({ kind: "relay", regionId, state, error });
  }

  /** Peers that were announced lately and not heard yet: what they sent may have gone into a relay connection that was dead. */
  #callNewcomers(): void {
    const since = monotonicNow() - NEWCOMER_MS;
    for (const [id, at] of this.#programmedAt) {
      const node = at < since ? undefined : this.#programming.node(id);
      if (node === undefined) continue;
      const key = nodePublicKey(node.key);
      if (this.driver.engine.peerStatus(key)?.lastReceivedAt === undefined) this.driver.startHandshake(key);
    }
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
    if (event.kind === "direct-path-stuck") {
      this.#watch.wantPortMapping();
      this.#takeAnotherPort();
      return;
    }
    if (event.kind === "direct-path-suspected") {
      this.#watch.doubtMappings();
      return;
    }
    if (event.kind !== "path-changed") {
      this.#emit({ kind: event.kind, id });
      return;
    }
    if (event.path?.kind === "udp") this.#portChanges.reset();
    if (event.path?.kind === "udp" && !this.#directAfterMs.has(id))
      this.#directAfterMs.set(id, monotonicNow() - this.#programmedAt.get(id)!);
    this.#emit({ kind: "path-changed", id, path: event.path });
  }

  /** Another local port starts afresh with routers that were confused by early packets. Never at a working path's cost. */
  #takeAnotherPort(): void {
    const fixed = this.#options.udpPort !== undefined && this.#options.udpPort !== 0;
    const inUse = this.driver.engine
      .peers()
      .some(({ path, endpoint }) => path?.kind === "udp" || endpoint.finder?.trusted !== undefined);
    if (fixed || inUse || this.#closed || !this.#portChanges.take(monotonicNow())) return;
    this.driver.rebind().catch((error: unknown) => {
      this.#options.logger?.log("warn", "no other UDP port could be bound", { error: String(error) });
    });
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

function discoOf(text: string) {
  const discoKey = parseDiscoKey(text.toLowerCase());
  return discoKey === undefined ? {} : { discoKey };
}
