/**
 * A node of the tunnel network on Node: {@link NodeCore} around an engine with UDP sockets, relays and a watch on our own
 * network. Used by the client library for one process's connections and by the agent for all its clients.
 */

import type { NodeInfo } from "coder-protocol/tailnet/node";
import { sleep } from "wg-userspace/async/abort";
import { EngineError } from "wg-userspace/base/errors";
import { type IpAddress, parseIp } from "wg-userspace/base/ip";
import { clampPrivateKey, discoPrivateKey, nodePrivateKey, nodePublicKey } from "wg-userspace/base/keys";
import type { Logger } from "wg-userspace/base/ports";
import type { DerpMap } from "wg-userspace/derp/map";
import { Driver, type NetworkChange } from "wg-userspace/io/driver";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import type { RelayState } from "wg-userspace/io/relay/relay-connection";
import { measuresWholePackets } from "wg-userspace/io/udp/udp-batch";
import { ETHERNET_MTU, LOOPBACK_MTU } from "wg-userspace/magicsock/mtu-search";
import type { Path } from "wg-userspace/magicsock/path";
import type { NetReport } from "wg-userspace/netcheck/report";
import type { Deployment } from "../rest/deployment.ts";
import { NetworkWatch } from "./network-watch.ts";
import { NodeCore, type NodeEvent, type NodeOutput, type RegionFallback } from "./node-core.ts";
import { NodeShell } from "./node-shell.ts";
import type { DirectBlock, DirectSample, DiscoPong, PathRef, PeerPathReport } from "./path-report.ts";
import { pathRef } from "./peer-paths.ts";

const DEFAULT_MAX_PEERS = 1024;

export interface TailnetNodeOptions {
  readonly deployment: Deployment;
  /** Our own inner addresses, text without prefix length. */
  readonly addresses: readonly string[];
  /** Unique number of this node on the control plane. */
  readonly nodeId: bigint;
  /** Local UDP port; absent or 0 for any. */
  readonly udpPort?: number | undefined;
  /** {@link NodeCoreOptions.region} */
  readonly region?: string | undefined;
  readonly onRegionFallback?: ((fallback: RegionFallback) => void) | undefined;
  /** What forbids direct connections, if anything does: all traffic is then relayed. */
  readonly directBlocked?: DirectBlock | undefined;
  readonly forceWebSocket?: boolean | undefined;
  readonly maxPeers?: number | undefined;
  /**
   * A client whose control connection was closed without a disconnect is gone when nothing is heard from it for this long, in ms;
   * default: 2 min.
   */
  readonly goneAfterMs?: number | undefined;
  /** Peers that we asked for, as opposed to peers that asked for us. */
  readonly isDestination: (id: string) => boolean;
  readonly logger?: Logger | undefined;
}

type OwnEvent =
  | {
      readonly kind: "relay";
      readonly regionId: number;
      readonly state: RelayState;
      readonly error: EngineError | undefined;
    }
  | { readonly kind: "woke"; readonly awayMs: number }
  /** Our address changed, or the machine slept: earlier connections are dead, whether they report it or not. */
  | { readonly kind: "moved" };

export type TailnetNodeEvent = NodeEvent | OwnEvent;

export class TailnetNode extends NodeShell<OwnEvent> implements AsyncDisposable {
  readonly driver: Driver;
  readonly #watch: NetworkWatch;

  static async open(options: TailnetNodeOptions): Promise<TailnetNode> {
    // The driver reports events only after open has returned, because nothing runs before the next turn.
    let node: TailnetNode | undefined;
    const { directBlocked, deployment, logger, maxPeers } = options;
    const driver = await Driver.open(
      {
        privateKey: nodePrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
        addresses: options.addresses.map(addressOf),
        mtu: maxMtu(),
        unmeasuredMtu: ETHERNET_MTU,
        disco: {
          privateKey: discoPrivateKey(clampPrivateKey(nodeRandom.bytes(32))),
          blockDirect: directBlocked !== undefined,
        },
        relay: {
          dialer: deployment.dialer,
          headers: () => deployment.extraHeaders(),
          forceWebSocket: options.forceWebSocket ?? false,
        },
        udpPort: directBlocked === undefined ? (options.udpPort ?? 0) : undefined,
        maxPeers,
        logger,
      },
      {
        onEngineEvent: (event) => node?.core.handleEngineEvent(event, monotonicNow()),
        onRelayState: (regionId, state, error) => {
          if (state === "ready") node?.noteRelayReady(regionId);
          else if (state !== "connecting") node?.noteRelayLost(regionId);
          node?.ownEvents.emit({ kind: "relay", regionId, state, error });
        },
        onRelayPeerGone: (regionId, key) => node?.relayPeerGone(regionId, key),
        onForcedWebSocket: (regionId, reason) => node?.core.noteForcedWebSocket(regionId, reason),
        onWake: (awayMs) => node?.ownEvents.emit({ kind: "woke", awayMs }),
        onNetworkChange: (change) => node?.networkChanged(change),
      },
    );
    node = new TailnetNode(driver, options);
    return node;
  }

  private constructor(driver: Driver, options: TailnetNodeOptions) {
    const { logger, deployment } = options;
    const fixedPort = options.udpPort !== undefined && options.udpPort !== 0;
    const output: NodeOutput = {
      setPeer: (peer) => driver.setPeer(peer),
      removePeer: (key) => driver.removePeer(key),
      abortConnections: (prefixes) => driver.abortConnections(prefixes),
      startHandshake: (key) => driver.startHandshake(key),
      setRelayMap: (map) => driver.relays.setMap(map),
      setHomeRegion: (regionId) => driver.relays.setHome(regionId),
      dialRelay: (regionId) => driver.relays.dial(regionId),
      redialRelay: (regionId) => driver.relays.redialRegion(regionId),
      setOwnEndpoints: (endpoints, guesses) => driver.setOwnEndpoints(endpoints, guesses),
      peerAdded: () => {
        watch.freshen();
        driver.relays.prove();
      },
      directPathStuck: (rebind) => {
        watch.wantPortMapping();
        if (rebind && !fixedPort) takeAnotherPort(driver, logger);
      },
      directPathSuspected: () => watch.doubtMappings(),
    };
    const core = new NodeCore(
      {
        addresses: options.addresses,
        nodeId: options.nodeId,
        publicKey: driver.engine.publicKey,
        discoKey: driver.engine.discoKey!,
        accessUrl: deployment.url.href,
        region: options.region,
        onRegionFallback: options.onRegionFallback,
        directBlocked: options.directBlocked,
        maxPeers: options.maxPeers ?? DEFAULT_MAX_PEERS,
        goneAfterMs: options.goneAfterMs,
        isDestination: options.isDestination,
        mtu: ETHERNET_MTU,
        random: nodeRandom,
        logger,
      },
      driver.engine,
      output,
    );
    const watch = new NetworkWatch({
      driver,
      deployment,
      blockDirect: options.directBlocked !== undefined,
      fixedPort,
      isLookedFor: () => core.hasRelayedPeers,
      onEndpoints: (endpoints, guesses) => core.setEndpoints(endpoints, guesses),
      onLatencies: (latencyMs) => core.setLatencies(latencyMs, monotonicNow()),
      logger,
    });
    super(core, monotonicNow);
    this.driver = driver;
    this.#watch = watch;
  }

  get nodeId(): bigint {
    return this.core.nodeId;
  }

  get derpMap(): DerpMap | undefined {
    return this.core.derpMap;
  }

  override setDerpMap(map: DerpMap): void {
    super.setDerpMap(map);
    if (this.core.derpMap !== undefined) this.#watch.setMap(this.core.derpMap);
  }

  override coordinationLost(): void {
    super.coordinationLost();
    this.doubt();
  }

  /**
   * Connections may be dead without an error, for example after a router lost its flows. Relays have to show a sign of life
   * within seconds, or are redialled. Cheap if one was received a moment ago.
   */
  doubt(): void {
    this.driver.relays.prove();
  }

  /** The process is awake for another reason: {@link Driver.awake}. */
  awake(): void {
    this.driver.awake();
  }

  /** The node that the coordinator last sent for a peer. */
  peerNode(id: string): NodeInfo | undefined {
    return this.core.peerNode(id);
  }

  /** Regions that could only be reached by WebSocket, with the reason. */
  get forcedWebSocket(): ReadonlyMap<number, string> {
    return this.core.forcedWebSocket;
  }

  /** Our last network report; undefined before the first. */
  get netReport(): NetReport | undefined {
    return this.#watch.report;
  }

  /** Makes a complete new network report; the stored one does not change. */
  async checkNetwork(signal: AbortSignal): Promise<NetReport> {
    return this.#watch.check(signal);
  }

  /** One disco ping to a peer, by relay and directly; the first pong wins. Rejects with ERR_NO_PEER or `signal.reason`. */
  async discoPing(id: string, options: { readonly signal: AbortSignal }): Promise<DiscoPong> {
    const node = this.peerNode(id);
    if (node === undefined || !this.isProgrammed(id))
      throw new EngineError("ERR_NO_PEER", "the peer is not known yet", { retryable: true });
    const { rttMs, path } = await this.driver.pingPeer(nodePublicKey(node.key), options);
    return { rttMs, path: this.pathRef(path)! };
  }

  /**
   * Pings a peer on the direct path only, `count` times at intervals of `everyMs`, and waits `waitMs` for the last answers. Ends
   * early with `signal`.
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
    if (answered < sent) await sleep(waitMs, signal).catch(() => undefined); // answers received by then count
    return { sent, answered, silentAtEnd: sent - lastAnswered };
  }

  /** A path with the names of the relay map. */
  pathRef(path: Path | undefined): PathRef | undefined {
    return pathRef(path, this.core.derpMap);
  }

  /** Everything known about the path to a peer. */
  pathReport(id: string): PeerPathReport {
    return this.core.pathReport(id, monotonicNow());
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.stop();
    await this.#watch.close();
    await this.driver.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private networkChanged(change: NetworkChange): void {
    this.#watch.networkChanged(change !== "added");
    if (change === "moved") this.ownEvents.emit({ kind: "moved" });
  }
}

function takeAnotherPort(driver: Driver, logger: Logger | undefined): void {
  driver.rebind().catch((error: unknown) => {
    logger?.log("warn", "no other UDP port could be bound", { error: String(error) });
  });
}

function addressOf(text: string): IpAddress {
  const address = parseIp(text);
  if (address === undefined) throw new TypeError(`not an IP address: "${text}"`);
  return address;
}

/** A peer gets packets larger than 1280 bytes only after its path was seen to carry them. */
function maxMtu(): number {
  return measuresWholePackets() ? LOOPBACK_MTU : ETHERNET_MTU;
}
