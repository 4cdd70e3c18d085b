/** The engine in a page: WireGuard and TCP/IP over relays. Pages have no UDP, so nothing is ever direct. */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { createPacketCipher } from "wg-userspace/aead/cipher";
import { EngineError } from "wg-userspace/base/errors";
import { instant } from "wg-userspace/base/instant";
import { type AddrPort, ip, parseAddrPort, parsePrefix } from "wg-userspace/base/ip";
import {
  clampPrivateKey,
  discoPrivateKey,
  formatDiscoKey,
  nodePrivateKey,
  nodePublicKey,
  parseDiscoKey,
} from "wg-userspace/base/keys";
import { browserCrypto, browserRandom } from "wg-userspace/browser/crypto";
import { type DerpMap, hasRelay, rewriteEmbedded } from "wg-userspace/derp/map";
import { Engine } from "wg-userspace/engine";
import type { TcpConnection } from "wg-userspace/netstack/stack";
import type { CoordinatedNode } from "../control/tailnet-session.ts";
import { type PeerAction, PeerProgramming, type PeerUpdate } from "../node/peer-programming.ts";
import { now, Relays } from "./relay.ts";

const KEEPALIVE_MS = 25_000;
const MAX_PEERS = 4;

export type BrowserNodeEvent =
  | { readonly kind: "relay-ready"; readonly regionId: number }
  | { readonly kind: "relay-lost"; readonly regionId: number; readonly reason: string }
  | { readonly kind: "peer-programmed"; readonly id: string }
  | { readonly kind: "peer-removed"; readonly id: string }
  | { readonly kind: "session-established" }
  | { readonly kind: "control-lost"; readonly reason: string };

export interface BrowserNodeOptions {
  /** The access URL: the embedded relay is there. */
  readonly url: URL;
  readonly address: string;
  readonly nodeId: bigint;
}

export class BrowserNode implements CoordinatedNode {
  /** The agent that we want to reach, once it is known. */
  destination: string | undefined;
  readonly #options: BrowserNodeOptions;
  readonly #engine: Engine;
  readonly #relays: Relays;
  readonly #programming: PeerProgramming;
  readonly #listeners = new Set<(event: BrowserNodeEvent) => void>();
  readonly #selfListeners = new Set<() => void>();
  #home = 0;
  #homeReady = false;
  #hasSession = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #peerTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: BrowserNodeOptions) {
    this.#options = options;
    const privateKey = nodePrivateKey(clampPrivateKey(browserRandom.bytes(32)));
    const cipher = createPacketCipher({});
    const startedAtUnixMs = Date.now() - performance.now();
    this.#engine = new Engine(
      {
        privateKey,
        addresses: [ip(options.address)],
        maxPeers: MAX_PEERS,
        disco: { privateKey: discoPrivateKey(clampPrivateKey(browserRandom.bytes(32))), blockDirect: true },
      },
      { crypto: browserCrypto, random: browserRandom, cipher, unixMs: (at) => startedAtUnixMs + at },
      {
        sendDatagram: (_, slot) => cipher.tx.release(slot),
        sendProbe: () => undefined,
        sendRelay: (region, peer, bytes, offset, length) => void this.#relays.send(region, peer, bytes, offset, length),
        congested: () => false,
        relayCongested: (region) => this.#relays.isCongested(region),
        event: (event) => {
          if (event.kind !== "session-established") return;
          this.#hasSession = true;
          this.#emit({ kind: "session-established" });
        },
      },
      now(),
    );
    this.#relays = new Relays({
      privateKey,
      publicKey: this.#engine.publicKey,
      handler: {
        onPacket: (region, source, bytes, offset, length) =>
          this.#engine.handleRelayPacket(region, source, bytes, offset, length, now()),
        onBatchEnd: () => this.#turn(),
        onPeerGone: (region, peer) => this.#engine.handleRelayPeerGone(region, peer, now()),
        onReady: (regionId) => {
          if (regionId === this.#home) this.#homeReady = true;
          this.#engine.relayReady(now());
          this.#schedule();
          this.#emit({ kind: "relay-ready", regionId });
        },
        onLost: (regionId, reason) => {
          if (regionId === this.#home) this.#homeReady = false;
          this.#emit({ kind: "relay-lost", regionId, reason });
        },
        onDrain: () => this.#schedule(),
      },
    });
    this.#programming = new PeerProgramming({
      isDestination: (id) => id === this.destination,
      lastHandshakeAt: (peer) => this.#engine.peerStatus(nodePublicKey(peer.key))?.lastHandshakeAt,
      lastReceivedAt: (peer) => this.#engine.peerStatus(nodePublicKey(peer.key))?.lastReceivedAt,
      maxPeers: MAX_PEERS,
    });
  }

  get relayReady(): boolean {
    return this.#homeReady;
  }

  /** Whether a handshake was completed. */
  get hasSession(): boolean {
    return this.#hasSession;
  }

  isProgrammed(id: string): boolean {
    return this.#programming.programmed().includes(id);
  }

  on(listener: (event: BrowserNodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  controlLost(reason: string): void {
    this.#emit({ kind: "control-lost", reason });
  }

  /** For the coordinator; see TailnetNode. */
  self(): NodeInfo | undefined {
    if (this.#home === 0) return undefined;
    const prefixes = [`${this.#options.address}/128`];
    return {
      id: this.#options.nodeId,
      asOfUnixMs: Date.now(),
      key: this.#engine.publicKey,
      disco: formatDiscoKey(this.#engine.discoKey!),
      preferredDerp: this.#home,
      derpLatency: new Map(),
      derpForcedWebsocket: new Map([[this.#home, "a web page"]]),
      addresses: prefixes,
      allowedIps: prefixes,
      endpoints: [],
    };
  }

  onSelfChanged(listener: () => void): () => void {
    this.#selfListeners.add(listener);
    return () => this.#selfListeners.delete(listener);
  }

  selfSent(): void {
    // Nobody asks a page whether its node was sent.
  }

  setDerpMap(map: DerpMap): void {
    if (this.#closed) return;
    const rewritten = rewriteEmbedded(map, this.#options.url.href);
    this.#relays.setMap(rewritten);
    if (this.#home !== 0) return;
    const home = [...rewritten.regions.values()].find((region) => hasRelay(region) && !region.avoid);
    if (home === undefined) return;
    this.#home = home.regionId;
    this.#relays.use(home.regionId);
    for (const listener of this.#selfListeners) listener();
  }

  handlePeerUpdates(updates: readonly PeerUpdate[]): string[] {
    const programmed: string[] = [];
    for (const update of updates) {
      for (const action of this.#programming.handle(update, now())) {
        this.#apply(action);
        if (action.kind === "program") programmed.push(action.id);
      }
    }
    this.#rearmPeers();
    return programmed;
  }

  coordinationLost(): void {
    this.#programming.connectionLost(now());
    this.#rearmPeers();
  }

  /** @throws EngineError. Ends a turn: the caller's changes to the connection go out. */
  connectTcp(remote: AddrPort): { readonly connection: TcpConnection; readonly wake: () => void } {
    if (this.#closed) throw new EngineError("ERR_CLOSED", "the tunnel is closed");
    const connection = this.#engine.netstack.connectTcp(remote, {}, now());
    this.#schedule();
    return { connection, wake: () => this.#schedule() };
  }

  /** One echo inside the tunnel. @returns the way to give it up. */
  ping(address: string, onReply: (rttMs: number) => void): () => void {
    const handle = this.#engine.netstack.ping("tsmp", ip(address), onReply, now());
    this.#schedule();
    return () => handle.cancel();
  }

  close(): void {
    if (this.#closed) return;
    this.#turn();
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#peerTimer);
    this.#relays.close();
  }

  #apply({ kind, id, node }: PeerAction): void {
    const key = nodePublicKey(node.key);
    if (kind === "remove") {
      this.#engine.removePeer(key, now());
      this.#emit({ kind: "peer-removed", id });
    } else if (kind === "program") {
      const discoKey = parseDiscoKey(node.disco.toLowerCase());
      this.#engine.setPeer(
        {
          publicKey: key,
          allowedIPs: node.allowedIps.flatMap((text) => parsePrefix(text) ?? []),
          homeRegion: node.preferredDerp,
          udpEndpoints: node.endpoints.flatMap((text) => parseAddrPort(text) ?? []),
          persistentKeepaliveMs: KEEPALIVE_MS,
          ...(discoKey === undefined ? {} : { discoKey }),
        },
        now(),
      );
      this.#relays.use(node.preferredDerp);
      this.#emit({ kind: "peer-programmed", id });
    }
    this.#schedule();
  }

  #rearmPeers(): void {
    clearTimeout(this.#peerTimer);
    const at = this.#programming.nextTimeout();
    if (at === undefined || this.#closed) return;
    this.#peerTimer = setTimeout(
      () => {
        for (const action of this.#programming.handleTimeout(now())) this.#apply(action);
        this.#rearmPeers();
      },
      Math.max(1, at - now()),
    );
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#turn());
  }

  /** Sends what there is, up to a turn's worth, and arms the timer. */
  #turn(): void {
    this.#scheduled = false;
    if (this.#closed) return;
    const at = now();
    this.#engine.handleTimeout(at);
    const more = this.#engine.flush(at);
    clearTimeout(this.#timer);
    const next = more ? instant(at) : this.#engine.nextTimeout();
    if (next !== undefined) this.#timer = setTimeout(() => this.#turn(), Math.max(0, next - now()));
  }

  #emit(event: BrowserNodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
