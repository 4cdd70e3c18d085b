/**
 * A node of the tunnel network without its I/O: what we publish about ourselves, which peers are in the tunnel, and which relay
 * is our home. Times and events go in; actions come out through {@link NodeOutput} during the call. The shells around it own
 * sockets, relays and a timer: `TailnetNode` on Node, `BrowserNode` in a page. Outlives any number of control connections.
 */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { earliest, type Instant } from "wg-userspace/base/instant";
import { type AddrPort, type IpPrefix, parseAddrPort, parsePrefix } from "wg-userspace/base/ip";
import {
  type DiscoPublicKey,
  formatDiscoKey,
  keyId,
  type NodePublicKey,
  nodePublicKey,
  parseDiscoKey,
} from "wg-userspace/base/keys";
import type { Logger, RandomSource } from "wg-userspace/base/ports";
import { HomeChooser } from "wg-userspace/derp/home";
import { type DerpMap, rewriteEmbedded } from "wg-userspace/derp/map";
import type { Engine, EngineEvent, EnginePeer } from "wg-userspace/engine";
import type { Path } from "wg-userspace/magicsock/path";
import { PortChangePolicy } from "wg-userspace/magicsock/port-change";
import { Listeners } from "../base/listeners.ts";
import { AbsentPeers } from "./absent-peers.ts";
import { HomeOutage, type OutageStep } from "./home-outage.ts";
import type { DirectBlock, PeerPathReport, RegionRef } from "./path-report.ts";
import { endpointTexts, peerPathReport, regionRef } from "./peer-paths.ts";
import { type LostPeer, type PeerAction, PeerProgramming, type PeerUpdate } from "./peer-programming.ts";
import { type FallbackReason, type PreferenceChange, RegionPreference } from "./region-preference.ts";
import { routeLatencies } from "./relay-choice.ts";

/** Keepalive interval of a peer whose tunnel must stay usable through idle NATs and relays. */
const PERSISTENT_KEEPALIVE_MS = 25_000;
/** A peer that was announced this recently may still be trying its first handshake. */
const RECENTLY_ANNOUNCED_MS = 30_000;

/** The named region is not used, and why. */
export interface RegionFallback {
  /** The name as given. */
  readonly wanted: string;
  readonly why: FallbackReason;
  /** The home that is used instead. */
  readonly using: RegionRef;
}

export interface NodeCoreOptions {
  /** Our own inner addresses, text without prefix length. */
  readonly addresses: readonly string[];
  /** Unique number of this node on the control plane. */
  readonly nodeId: bigint;
  readonly publicKey: NodePublicKey;
  readonly discoKey: DiscoPublicKey;
  /** The URL at which we reach the control plane, and its embedded relays. */
  readonly accessUrl: string;
  /** Home region by id, code, name or workspace proxy, instead of the nearest, while its relay answers. */
  readonly region?: string | undefined;
  /** Called when that region is given up for the automatic choice. */
  readonly onRegionFallback?: ((fallback: RegionFallback) => void) | undefined;
  readonly directBlocked?: DirectBlock;
  /** Set when our relays can only be reached by WebSocket: the reason that peers are given. */
  readonly webSocketOnly?: string | undefined;
  readonly maxPeers: number;
  /** A client whose control connection was closed without a disconnect is gone when nothing is heard from it for this long. */
  readonly goneAfterMs?: number | undefined;
  /** Peers that we asked for, as opposed to peers that asked for us. */
  readonly isDestination: (id: string) => boolean;
  /** Largest inner packet to a peer whose path cannot be measured. */
  readonly mtu: number;
  readonly random: RandomSource;
  readonly logger?: Logger | undefined;
}

/** The engine's view of its peers. */
export type PeerStatusSource = Pick<Engine, "peerStatus" | "peers">;

/** What a shell has to do; called during calls of the core. */
export interface NodeOutput {
  setPeer(peer: EnginePeer): void;
  removePeer(key: NodePublicKey): void;
  /** The process at these addresses is gone, so its connections end. */
  abortConnections(prefixes: readonly IpPrefix[]): void;
  startHandshake(key: NodePublicKey): void;
  setRelayMap(map: DerpMap): void;
  setHomeRegion(regionId: number): void;
  /** Connects to the relay of a region other than the home; does nothing if it is connected. */
  dialRelay(regionId: number): void;
  /** The relay of a region does not reach a peer that is connected to the region. */
  redialRelay(regionId: number): void;
  /** The endpoints that our disco messages name. */
  setOwnEndpoints(endpoints: readonly AddrPort[], guesses: readonly AddrPort[]): void;
  /** A new peer was announced: our published endpoints should be up to date, and our relay connections alive. */
  peerAdded(): void;
  /** Direct paths are hard to find: a port mapping may help, and with `rebind` another local port. */
  directPathStuck(rebind: boolean): void;
  /** A direct path fell silent, so our public endpoints may have changed. */
  directPathSuspected(): void;
}

export type NodeEvent =
  | { readonly kind: "peer-programmed"; readonly id: string }
  | { readonly kind: "peer-removed"; readonly id: string }
  | { readonly kind: "session-established"; readonly id: string }
  | { readonly kind: "handshake-gave-up"; readonly id: string }
  | { readonly kind: "path-changed"; readonly id: string; readonly path: Path | undefined };

export class NodeCore {
  readonly events = new Listeners<NodeEvent>();
  /** Called whenever {@link self} would return something new. */
  readonly selfChanges = new Listeners<void>();
  readonly #options: NodeCoreOptions;
  readonly #status: PeerStatusSource;
  readonly #output: NodeOutput;
  readonly #programming: PeerProgramming;
  readonly #home: HomeChooser;
  readonly #outage = new HomeOutage();
  readonly #preference: RegionPreference | undefined;
  readonly #idByKey = new Map<string, string>();
  readonly #forcedWebSocket = new Map<number, string>();
  /** Time of the first direct path to each peer, by id, since the peer was added. */
  readonly #directAfterMs = new Map<string, number>();
  readonly #programmedAt = new Map<string, Instant>();
  readonly #portChanges = new PortChangePolicy();
  readonly #absent: AbsentPeers;
  #endpoints: readonly AddrPort[] = [];
  #sentNode = false;
  #latencyMs: ReadonlyMap<number, number> = new Map();
  #map: DerpMap | undefined;
  #homeRegion = 0;

  constructor(options: NodeCoreOptions, status: PeerStatusSource, output: NodeOutput) {
    this.#options = options;
    this.#status = status;
    this.#output = output;
    this.#home = new HomeChooser(options.random);
    this.#preference = options.region === undefined ? undefined : new RegionPreference(options.region);
    this.#absent = new AbsentPeers(options.random);
    this.#programming = new PeerProgramming({
      isDestination: options.isDestination,
      lastHandshakeAt: (peer) => status.peerStatus(nodePublicKey(peer.key))?.lastHandshakeAt,
      lastReceivedAt: (peer) => status.peerStatus(nodePublicKey(peer.key))?.lastReceivedAt,
      maxPeers: options.maxPeers,
      onFull: () =>
        options.logger?.log("warn", "as many peers are connected as this node can have: further ones are not added", {
          peers: options.maxPeers,
        }),
      goneAfterMs: options.goneAfterMs,
    });
  }

  /** What the coordinator is sent about us; undefined while we have no home relay and cannot be reached. */
  self(unixMs: number): NodeInfo | undefined {
    if (this.#homeRegion === 0) return undefined;
    const { nodeId, publicKey, discoKey, addresses, webSocketOnly } = this.#options;
    const prefixes = addresses.map((address) => `${address}/128`);
    return {
      id: nodeId,
      asOfUnixMs: unixMs,
      key: publicKey,
      disco: formatDiscoKey(discoKey),
      preferredDerp: this.#homeRegion,
      derpLatency: new Map([...this.#latencyMs].map(([region, ms]) => [`${region}-v4`, ms / 1000])),
      derpForcedWebsocket:
        webSocketOnly === undefined ? new Map(this.#forcedWebSocket) : new Map([[this.#homeRegion, webSocketOnly]]),
      addresses: prefixes,
      allowedIps: prefixes,
      endpoints: endpointTexts(this.#endpoints),
    };
  }

  /** The control plane has received what {@link self} returned. */
  selfSent(): void {
    this.#sentNode = true;
  }

  get nodeId(): bigint {
    return this.#options.nodeId;
  }

  get derpMap(): DerpMap | undefined {
    return this.#map;
  }

  /** 0 for none. */
  get homeRegion(): number {
    return this.#homeRegion;
  }

  /** Regions that could only be reached by WebSocket, with the reason. */
  get forcedWebSocket(): ReadonlyMap<number, string> {
    return this.#forcedWebSocket;
  }

  get hasPeers(): boolean {
    return this.#programming.programmed().length > 0;
  }

  /** Whether some peers have no direct path, and so need our endpoints. */
  get hasRelayedPeers(): boolean {
    return this.#programming.programmed().some((id) => {
      const node = this.#programming.node(id);
      const status = node === undefined ? undefined : this.#status.peerStatus(nodePublicKey(node.key));
      return status?.path?.kind !== "udp";
    });
  }

  isProgrammed(id: string): boolean {
    return this.#programming.programmed().includes(id);
  }

  /** The node that the coordinator last sent for a peer. */
  peerNode(id: string): NodeInfo | undefined {
    return this.#programming.node(id);
  }

  /** A relay map, as received from the control plane. */
  setDerpMap(map: DerpMap, now: Instant): void {
    this.#map = rewriteEmbedded(map, this.#options.accessUrl);
    this.#output.setRelayMap(this.#map);
    const change = this.#preference?.handleMap(this.#map, now);
    // A single relay needs no choice. Of several, one is taken at once, and the home may move when all are measured.
    this.#chooseHome(new Map(), now);
    this.#reportPreference(change);
  }

  /** Chooses the home relay by measured latency; `latencyMs` is empty when nothing could be measured. */
  setLatencies(latencyMs: ReadonlyMap<number, number>, now: Instant): void {
    this.#outage.measured(latencyMs);
    this.#chooseHome(latencyMs, now);
  }

  #chooseHome(latencyMs: ReadonlyMap<number, number>, now: Instant): void {
    const map = this.#map;
    if (map === undefined) return;
    const choices = this.#outage.choices(this.#choices(map));
    const measured = this.#home.report(choices, routeLatencies(latencyMs, this.#destinationLatency()), now);
    const home = this.#preference?.home ?? measured ?? 0;
    const changed = home !== this.#homeRegion || latencyMs.size > 0;
    this.#latencyMs = latencyMs;
    this.#homeRegion = home;
    this.#outage.setHome(this.#preference?.home === undefined ? home : 0, now);
    if (home !== 0) this.#output.setHomeRegion(home);
    if (changed) this.selfChanges.emit();
  }

  /**
   * UDP endpoints to publish.
   * @param guesses Ports that a hard NAT with a predictable pattern may use for the next peer; only for the engine.
   */
  setEndpoints(endpoints: readonly AddrPort[], guesses: readonly AddrPort[]): void {
    const changed = endpointTexts(endpoints).join() !== endpointTexts(this.#endpoints).join();
    this.#endpoints = endpoints;
    this.#output.setOwnEndpoints(endpoints, guesses);
    if (changed && this.#homeRegion !== 0) this.selfChanges.emit();
  }

  noteForcedWebSocket(regionId: number, reason: string): void {
    this.#forcedWebSocket.set(regionId, reason);
    this.selfChanges.emit();
  }

  /** Updates from the coordinator. Returns the ids of newly programmed peers, which an agent answers with "ready". */
  handlePeerUpdates(updates: readonly PeerUpdate[], now: Instant): string[] {
    const programmed: string[] = [];
    for (const update of updates) {
      if (update.kind === "lost" && update.byClose)
        this.#log("a control connection was closed without a goodbye", update.id);
      for (const action of this.#programming.handle(update, now)) {
        this.#apply(action, now);
        if (action.kind === "program") programmed.push(action.id);
      }
    }
    return programmed;
  }

  /** {@link PeerProgramming.lostPeers} */
  lostPeers(): LostPeer[] {
    return this.#programming.lostPeers();
  }

  /** The control connection ended: the peers stay, and count as lost from now on. */
  coordinationLost(now: Instant): void {
    this.#programming.connectionLost(now);
  }

  /** The deployment ended our right to be in the network, and with it that of all peers. */
  expelPeers(now: Instant): void {
    for (const action of this.#programming.expelAll()) this.#apply(action, now);
  }

  nextTimeout(): Instant | undefined {
    const peers = earliest(this.#programming.nextTimeout(), this.#absent.nextTimeout());
    return earliest(peers, earliest(this.#outage.nextTimeout(), this.#preference?.nextTimeout()));
  }

  handleTimeout(now: Instant): void {
    for (const action of this.#programming.handleTimeout(now)) this.#apply(action, now);
    this.#follow(this.#preference?.handleTimeout(now), now);
    if (this.#map !== undefined) this.#followOutage(this.#outage.handleTimeout(this.#choices(this.#map), now), now);
    if (!this.#absent.handleTimeout((id) => this.#heardAt(id), now)) return;
    this.#options.logger?.log("info", "the relay does not reach a peer of its region: dialling it again");
    this.#output.redialRelay(this.#homeRegion);
  }

  /**
   * Calls peers that were announced recently and have not been heard: what they sent may have been lost in a dead relay
   * connection.
   */
  relayReady(regionId: number, now: Instant): void {
    this.#follow(this.#preference?.relayReady(regionId, now), now);
    if (this.#map !== undefined) this.#followOutage(this.#outage.relayReady(regionId, this.#choices(this.#map)), now);
    if (regionId !== this.#homeRegion) return;
    for (const [id, at] of this.#programmedAt) {
      const node = at < now - RECENTLY_ANNOUNCED_MS ? undefined : this.#programming.node(id);
      if (node === undefined) continue;
      const key = nodePublicKey(node.key);
      if (this.#status.peerStatus(key)?.lastReceivedAt === undefined) this.#output.startHandshake(key);
    }
  }

  /** The connection to the relay of a region ended, or could not be made. */
  relayLost(regionId: number, now: Instant): void {
    this.#preference?.relayLost(regionId, now);
    this.#outage.relayLost(regionId, now);
  }

  /** The relay of a region reported that a peer is not connected to it. Only our own destinations are searched for. */
  relayPeerGone(regionId: number, key: Uint8Array, now: Instant): void {
    const id = regionId === this.#homeRegion ? this.#idByKey.get(keyId(key as NodePublicKey)) : undefined;
    if (id === undefined || !this.#options.isDestination(id) || !this.#programming.isAnnounced(id)) return;
    const { path } = this.#status.peerStatus(key as NodePublicKey) ?? {};
    if (this.#programming.node(id)?.preferredDerp !== regionId || path?.kind === "udp") return;
    this.#absent.reported(id, now);
  }

  handleEngineEvent(event: EngineEvent, now: Instant): void {
    const id = this.#idByKey.get(keyId(event.peer));
    if (id === undefined) return;
    switch (event.kind) {
      case "direct-path-stuck":
        this.#output.directPathStuck(this.#mayTakeAnotherPort(now));
        return;
      case "direct-path-suspected":
        this.#output.directPathSuspected();
        return;
      case "path-changed":
        if (event.path?.kind === "udp") this.#noteDirectPath(id, now);
        this.events.emit({ kind: "path-changed", id, path: event.path });
        return;
      case "session-established":
      case "handshake-gave-up":
        this.events.emit({ kind: event.kind, id });
    }
  }

  /** Everything known about the path to a peer. */
  pathReport(id: string, now: Instant): PeerPathReport {
    const node = this.peerNode(id);
    const inTunnel = node !== undefined && this.isProgrammed(id);
    return peerPathReport(
      {
        id,
        node,
        status: inTunnel ? this.#status.peerStatus(nodePublicKey(node.key)) : undefined,
        map: this.#map,
        homeRegion: this.#homeRegion,
        endpoints: this.#endpoints,
        sentNode: this.#sentNode,
        timeToDirectMs: this.#directAfterMs.get(id),
        directBlocked: this.#options.directBlocked,
        mtu: this.#options.mtu,
      },
      now,
    );
  }

  /** The named region was given up or taken back, so the home is chosen again by the last measurements. */
  #follow(change: PreferenceChange | undefined, now: Instant): void {
    if (change === undefined) return;
    if (change.kind === "dial") this.#output.dialRelay(change.regionId);
    else this.#chooseHome(this.#latencyMs, now);
    this.#reportPreference(change);
  }

  #followOutage(step: OutageStep | undefined, now: Instant): void {
    if (step?.kind === "dial") for (const regionId of step.regionIds) this.#output.dialRelay(regionId);
    if (step?.kind !== "choose") return;
    const before = this.#homeRegion;
    this.#chooseHome(this.#latencyMs, now);
    this.#options.logger?.log("info", "the home relay does not answer, another one does", {
      before,
      home: this.#homeRegion,
    });
  }

  /** The regions from which the automatic choice is made. */
  #choices(map: DerpMap): DerpMap {
    return this.#preference?.choices(map) ?? map;
  }

  /** To be called after the home was chosen. */
  #reportPreference(change: PreferenceChange | undefined): void {
    if (change === undefined || change.kind === "dial") return;
    const { logger, onRegionFallback } = this.#options;
    const wanted = this.#preference?.wanted ?? "";
    const using = regionRef(this.#homeRegion, this.#map);
    logger?.log("info", "the home region changes with the region that was named", {
      wanted,
      using: using.name,
      why: change.kind === "fallback" ? change.why : "it answers again",
    });
    if (change.kind === "fallback") onRegionFallback?.({ wanted, why: change.why, using });
  }

  #apply(action: PeerAction, now: Instant): void {
    const { id, node } = action;
    const key = nodePublicKey(node.key);
    const allowedIPs = node.allowedIps.flatMap((text) => parsePrefix(text) ?? []);
    if (action.kind === "hang-up") {
      this.#log("a client is gone without a goodbye: its connections end", id);
      this.#output.abortConnections(allowedIPs);
      return;
    }
    if (action.kind === "remove") {
      this.#idByKey.delete(keyId(key));
      this.#programmedAt.delete(id);
      this.#directAfterMs.delete(id);
      this.#absent.forget(id);
      this.#output.removePeer(key);
      if (action.over) this.#output.abortConnections(allowedIPs);
      this.events.emit({ kind: "peer-removed", id });
      return;
    }
    this.#idByKey.set(keyId(key), id);
    if (!this.#programmedAt.has(id)) {
      this.#programmedAt.set(id, now);
      this.#output.peerAdded();
    }
    const discoKey = parseDiscoKey(node.disco.toLowerCase());
    const isDestination = this.#options.isDestination(id);
    this.#output.setPeer({
      publicKey: key,
      allowedIPs,
      homeRegion: node.preferredDerp,
      udpEndpoints: node.endpoints.flatMap((text) => parseAddrPort(text) ?? []),
      discoKey,
      persistentKeepaliveMs: isDestination ? PERSISTENT_KEEPALIVE_MS : undefined,
    });
    // The route to a workspace has two legs. Now that the second is known, another relay may be the better home.
    if (isDestination && this.#latencyMs.size > 1) this.#chooseHome(this.#latencyMs, now);
    this.events.emit({ kind: "peer-programmed", id });
  }

  #noteDirectPath(id: string, now: Instant): void {
    this.#portChanges.reset();
    const programmedAt = this.#programmedAt.get(id);
    if (programmedAt !== undefined && !this.#directAfterMs.has(id)) this.#directAfterMs.set(id, now - programmedAt);
  }

  /**
   * Routers hold no state about another local port, such as flows confused by early packets. Changing it never costs a working
   * path.
   */
  #mayTakeAnotherPort(now: Instant): boolean {
    const inUse = this.#status
      .peers()
      .some(({ path, endpoint }) => path?.kind === "udp" || endpoint.finder?.trusted !== undefined);
    return !inUse && this.#portChanges.take(now);
  }

  /** The relay latencies that our only destination publishes. An agent has many peers and no destination. */
  #destinationLatency(): ReadonlyMap<string, number> | undefined {
    const destinations = this.#programming.programmed().filter((id) => this.#options.isDestination(id));
    return destinations.length === 1 ? this.peerNode(destinations[0]!)?.derpLatency : undefined;
  }

  #heardAt(id: string): Instant | undefined {
    const node = this.#programming.node(id);
    return node === undefined ? undefined : this.#status.peerStatus(nodePublicKey(node.key))?.lastReceivedAt;
  }

  #log(message: string, peer: string): void {
    this.#options.logger?.log("info", message, { peer });
  }
}
