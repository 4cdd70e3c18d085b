/** The engine in a page: {@link NodeCore} around WireGuard and TCP/IP over relays. Pages have no UDP, so no path is direct. */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { createPacketCipher } from "wg-userspace/aead/cipher";
import { EngineError } from "wg-userspace/base/errors";
import { instant } from "wg-userspace/base/instant";
import { type AddrPort, ip, prefixContains } from "wg-userspace/base/ip";
import { clampPrivateKey, discoPrivateKey, type NodePublicKey, nodePrivateKey } from "wg-userspace/base/keys";
import { browserCrypto, browserRandom } from "wg-userspace/browser/crypto";
import { Engine } from "wg-userspace/engine";
import type { TcpConnection } from "wg-userspace/netstack/stack";
import { NodeCore, type NodeEvent, type NodeOutput } from "../node/node-core.ts";
import { NodeShell } from "../node/node-shell.ts";
import { PeerHold, type PeerOutput } from "./peer-hold.ts";
import { now, Relays } from "./relay.ts";

const MAX_PEERS = 4;
/** Every path is relayed, and relays carry packets of this size. */
const MTU = 1280;

type OwnEvent =
  | { readonly kind: "relay-ready"; readonly regionId: number }
  | { readonly kind: "relay-lost"; readonly regionId: number; readonly reason: string }
  | { readonly kind: "control-lost"; readonly reason: string };

export type BrowserNodeEvent = NodeEvent | OwnEvent;

export interface BrowserNodeOptions {
  /** The access URL, where the embedded relay is. */
  readonly url: URL;
  readonly address: string;
  readonly nodeId: bigint;
}

export class BrowserNode extends NodeShell<OwnEvent> {
  /** The wanted agent, once it is known. */
  destination: string | undefined;
  readonly #engine: Engine;
  readonly #relays: Relays;
  readonly #secrets: readonly Uint8Array[];
  readonly #peers: PeerHold;
  #homeReady = false;
  #hasSession = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: BrowserNodeOptions) {
    const schedule = (): void => this.#schedule();
    const privateKey = nodePrivateKey(clampPrivateKey(browserRandom.bytes(32)));
    const discoKey = discoPrivateKey(clampPrivateKey(browserRandom.bytes(32)));
    const cipher = createPacketCipher({});
    const startedAtUnixMs = Date.now() - performance.now();
    const engine = new Engine(
      {
        privateKey,
        addresses: [ip(options.address)],
        maxPeers: MAX_PEERS,
        disco: { privateKey: discoKey, blockDirect: true },
      },
      { crypto: browserCrypto, random: browserRandom, cipher, unixMs: (at) => startedAtUnixMs + at },
      {
        sendDatagram: (_, slot) => cipher.tx.release(slot),
        sendProbe: () => undefined,
        sendRelay: (region, peer, bytes, offset, length) => void relays.send(region, peer, bytes, offset, length),
        congested: () => false,
        relayCongested: (region) => relays.isCongested(region),
        event: (event) => core.handleEngineEvent(event, now()),
      },
      now(),
    );
    const relays = new Relays({
      privateKey,
      publicKey: engine.publicKey,
      handler: {
        onPacket: (region, source, bytes, offset, length) =>
          engine.handleRelayPacket(region, source, bytes, offset, length, now()),
        onBatchEnd: () => this.#turn(),
        onPeerGone: (region, peer) => {
          engine.handleRelayPeerGone(region, peer, now());
          this.relayPeerGone(region, peer);
        },
        onReady: (regionId) => this.#relayReady(regionId),
        onLost: (regionId, reason) => {
          if (regionId === core.homeRegion) this.#homeReady = false;
          this.noteRelayLost(regionId);
          this.ownEvents.emit({ kind: "relay-lost", regionId, reason });
        },
        onDrain: schedule,
      },
    });
    const peers = new PeerHold(peersOf(engine, relays, schedule, () => this.#endTunnel()));
    const core = new NodeCore(
      {
        addresses: [options.address],
        nodeId: options.nodeId,
        publicKey: engine.publicKey,
        discoKey: engine.discoKey!,
        accessUrl: options.url.href,
        webSocketOnly: "a web page",
        maxPeers: MAX_PEERS,
        isDestination: (id) => id === this.destination,
        mtu: MTU,
        random: browserRandom,
      },
      engine,
      outputTo(engine, relays, peers, schedule),
    );
    super(core, now);
    this.#engine = engine;
    this.#secrets = [privateKey, discoKey];
    this.#relays = relays;
    this.#peers = peers;
    core.events.add((event) => {
      if (event.kind === "session-established") this.#hasSession = true;
    });
  }

  get relayReady(): boolean {
    return this.#homeReady;
  }

  /** Whether a WireGuard handshake has completed. */
  get hasSession(): boolean {
    return this.#hasSession;
  }

  controlLost(reason: string): void {
    this.ownEvents.emit({ kind: "control-lost", reason });
  }

  /**
   * Ends a turn, so the caller's changes to the connection are sent.
   * @throws EngineError
   */
  connectTcp(remote: AddrPort): { readonly connection: TcpConnection; readonly wake: () => void } {
    if (this.closed) throw new EngineError("ERR_CLOSED", "the tunnel is closed");
    const connection = this.#engine.netstack.connectTcp(remote, {}, now());
    this.#schedule();
    return { connection, wake: () => this.#schedule() };
  }

  /** Does pending work, because timers of a hidden page run late. */
  wake(): void {
    this.#turn();
  }

  /** The node that the coordinator last sent for the agent. */
  agentNode(): NodeInfo | undefined {
    return this.destination === undefined ? undefined : this.core.peerNode(this.destination);
  }

  get publicKey(): NodePublicKey {
    return this.#engine.publicKey;
  }

  /**
   * Ties this node to the peer that has the address now: every other peer is removed, and if the control plane announces a
   * different key, the node closes instead of using it. Throws EngineError if no peer has the address.
   */
  hold(address: string): NodePublicKey {
    const peer = this.#engine.peerWithAddress(ip(address));
    if (peer === undefined || !this.#peers.hold(peer.publicKey))
      throw new EngineError("ERR_NO_PEER", "the workspace is not in the tunnel any more");
    return peer.publicKey;
  }

  #endTunnel(): void {
    if (this.closed) return;
    this.#engine.netstack.abortConnections(() => true);
    this.close();
  }

  /**
   * Sends one echo request inside the tunnel.
   * @returns A function that cancels it.
   */
  ping(address: string, onReply: (rttMs: number) => void): () => void {
    const handle = this.#engine.netstack.ping("tsmp", ip(address), onReply, now());
    this.#schedule();
    return () => handle.cancel();
  }

  close(): void {
    if (this.closed) return;
    this.#turn();
    this.stop();
    clearTimeout(this.#timer);
    this.#relays.close();
    for (const key of this.#secrets) key.fill(0);
  }

  #relayReady(regionId: number): void {
    this.#engine.relayReady(now());
    // This may make the region the home.
    this.noteRelayReady(regionId);
    if (regionId === this.core.homeRegion) this.#homeReady = true;
    this.#schedule();
    this.ownEvents.emit({ kind: "relay-ready", regionId });
  }

  #schedule(): void {
    if (this.#scheduled || this.closed) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#turn());
  }

  /** Sends pending packets, limited to one turn's budget, and arms the timer. */
  #turn(): void {
    this.#scheduled = false;
    if (this.closed) return;
    const at = now();
    this.#engine.handleTimeout(at);
    const more = this.#engine.flush(at);
    clearTimeout(this.#timer);
    const next = more ? instant(at) : this.#engine.nextTimeout();
    if (next !== undefined) this.#timer = setTimeout(() => this.#turn(), Math.max(0, next - now()));
  }
}

/** @param end Ends the tunnel. */
function peersOf(engine: Engine, relays: Relays, schedule: () => void, end: () => void): PeerOutput {
  return {
    setPeer: (peer) => {
      engine.setPeer(peer, now());
      if (peer.homeRegion !== undefined) relays.use(peer.homeRegion);
      schedule();
    },
    removePeer: (key) => {
      engine.removePeer(key, now());
      schedule();
    },
    // The core is in the middle of a call.
    end: () => queueMicrotask(end),
  };
}

/** Without UDP there are no endpoints to publish and no direct paths to look for. */
function outputTo(engine: Engine, relays: Relays, peers: PeerHold, schedule: () => void): NodeOutput {
  return {
    setPeer: (peer) => peers.setPeer(peer),
    removePeer: (key) => peers.removePeer(key),
    abortConnections: (prefixes) => {
      engine.netstack.abortConnections((remote) => prefixes.some((prefix) => prefixContains(prefix, remote)));
      schedule();
    },
    startHandshake: (key) => {
      engine.startHandshake(key, now());
      schedule();
    },
    setRelayMap: (map) => relays.setMap(map),
    setHomeRegion: (regionId) => void relays.use(regionId),
    dialRelay: (regionId) => void relays.use(regionId),
    redialRelay: (regionId) => relays.redial(regionId),
    setOwnEndpoints: () => undefined,
    peerAdded: () => undefined,
    directPathStuck: () => undefined,
    directPathSuspected: () => undefined,
  };
}
