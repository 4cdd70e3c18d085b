import { copyInto } from "./base/bytes.ts";
import { looksLikeDisco } from "./base/disco-marker.ts";
import { type DropCounts, Drops, EngineError } from "./base/errors.ts";
import { earliest, type Instant } from "./base/instant.ts";
import type { AddrPort, IpAddress, IpPrefix } from "./base/ip.ts";
import type { DiscoPrivateKey, DiscoPublicKey, NodePrivateKey, NodePublicKey } from "./base/keys.ts";
import type { CryptoSuite, Logger, PacketCipher, RandomSource } from "./base/ports.ts";
import { logs, silentLogger } from "./base/ports.ts";
import { Discovery, type PongResult } from "./magicsock/discovery.ts";
import type { Endpoint } from "./magicsock/endpoint.ts";
import { describePath, type Path, PathTable, type UdpPath, udpPath } from "./magicsock/path.ts";
import { PeerMap } from "./magicsock/peer-map.ts";
import { Netstack, type PacketOutput } from "./netstack/stack.ts";
import type { TcpDefaults } from "./netstack/tcp/options.ts";
import { Device, type DeviceOutput, type MessageSource } from "./wireguard/device.ts";
import type { Peer } from "./wireguard/peer.ts";

/** Inner MTU that every path of the Internet carries, and the one Coder and Tailscale peers use. */
export const DEFAULT_MTU = 1280;
/** Bytes a WireGuard message has in front of the inner packet. */
const WIREGUARD_HEADER_BYTES = 16;
/** Header and tag of a transport message: the length of an empty one, a keepalive. */
const WIREGUARD_OVERHEAD_BYTES = 32;
/** Packets and bytes sent in one turn before other work gets its chance: about 1.5 ms at full speed. */
const TURN_PACKETS = 256;
const TURN_BYTES = 512 * 1024;

export interface EngineConfig {
  readonly privateKey: NodePrivateKey;
  /** Our addresses inside the tunnel. */
  readonly addresses: readonly IpAddress[];
  /**
   * Largest inner packet in bytes, {@link DEFAULT_MTU} by default. With a larger value, a peer that speaks disco gets larger
   * packets once its path was seen to carry them.
   */
  readonly mtu?: number | undefined;
  /** Largest inner packet to a peer that does not speak disco, whose path cannot be measured; default: `mtu`. */
  readonly unmeasuredMtu?: number | undefined;
  /** Finds direct paths by disco. Without it peers are reached by relay, or where they are configured. */
  readonly disco?: {
    readonly privateKey: DiscoPrivateKey;
    /** Forbids direct paths; pings by relay still work. */
    readonly blockDirect?: boolean | undefined;
  };
  readonly maxPeers?: number | undefined;
  readonly tcp?: Partial<TcpDefaults> | undefined;
  readonly maxConnections?: number | undefined;
}

/** What the shell supplies. The engine reads no clock and draws no entropy of its own. */
export interface EnginePorts {
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  readonly cipher: PacketCipher;
  /** Wall-clock time of an instant, in ms since 1970: for WireGuard's timestamps only. */
  readonly unixMs: (now: Instant) => number;
  readonly logger?: Logger;
}

export interface EngineOutput {
  /**
   * Sends the datagram `memory.bytes[slot, slot + length)`. The output owns the slot and gives it back with
   * `cipher.tx.release(slot)` as soon as the socket no longer reads it.
   */
  sendDatagram(to: UdpPath, slot: number, length: number): void;
  /** Hands `bytes[offset, offset + length)` to the relay of a region; borrowed for the call. */
  sendRelay(regionId: number, destination: NodePublicKey, bytes: Uint8Array, offset: number, length: number): void;
  /** Sends a disco packet; borrowed. `ttl`: hop limit of this one packet, undefined for the default. */
  sendProbe(to: UdpPath, packet: Uint8Array, ttl: number | undefined): void;
  /** True while the socket holds so many datagrams that new data should wait: the netstack then sends nothing. */
  congested(): boolean;
  /** True while the connection to that relay is full: data for peers reached through it waits, other data does not. */
  relayCongested(regionId: number): boolean;
  event(event: EngineEvent): void;
}

export type EngineEvent =
  | { readonly kind: "session-established"; readonly peer: NodePublicKey }
  | { readonly kind: "handshake-gave-up"; readonly peer: NodePublicKey }
  /** No direct path for several seconds although there are candidates: another local port may help. */
  | { readonly kind: "direct-path-stuck"; readonly peer: NodePublicKey }
  /** A direct path in use went silent: our mapping on a router may have changed. */
  | { readonly kind: "direct-path-suspected"; readonly peer: NodePublicKey }
  | { readonly kind: "path-changed"; readonly peer: NodePublicKey; readonly path: Path | undefined };

export interface EnginePeer {
  readonly publicKey: NodePublicKey;
  /** Inner addresses the peer may use: what is routed to it and what it may send from. */
  readonly allowedIPs: readonly IpPrefix[];
  readonly presharedKey?: Uint8Array | undefined;
  readonly persistentKeepaliveMs?: number | undefined;
  /** Relay region the peer listens on; undefined for none. */
  readonly homeRegion?: number | undefined;
  /**
   * UDP addresses where the peer may be. For a peer with a disco key they are candidates, used once they answered; for any other
   * peer the first is used at once.
   */
  readonly udpEndpoints?: readonly AddrPort[] | undefined;
  readonly discoKey?: DiscoPublicKey | undefined;
}

export type PacketTap = (bytes: Uint8Array, offset: number, length: number) => void;

export interface PeerStatus {
  readonly publicKey: NodePublicKey;
  readonly path: Path | undefined;
  /** Paths, candidates and measurements; live, to be read at once. @internal */
  readonly endpoint: Endpoint;
  readonly lastHandshakeAt: Instant | undefined;
  readonly lastReceivedAt: Instant | undefined;
  readonly rxBytes: number;
  readonly txBytes: number;
}

/**
 * The engine: WireGuard over chosen paths below, TCP/IP sockets above, no I/O of its own. Bytes and `now` go in through
 * the handle methods; messages leave through {@link EngineOutput} during {@link flush}. After every batch of handle calls
 * or socket operations call flush once, then ask nextTimeout.
 */
export class Engine {
  readonly netstack: Netstack;
  readonly drops = new Drops();
  readonly #device: Device;
  readonly #peers = new PeerMap();
  readonly #discovery: Discovery | undefined;
  readonly #paths = new PathTable();
  readonly #cipher: PacketCipher;
  readonly #output: EngineOutput;
  readonly #logger: Logger;
  #now: Instant;
  /** Packets and bytes the netstack may still send before other work gets its turn. */
  #packetsLeft = TURN_PACKETS;
  #bytesLeft = TURN_BYTES;
  /** Receives every inner packet that arrives or leaves, as `bytes[offset, offset + length)`; borrowed for the call. */
  packetTap: PacketTap | undefined;
  /** TX slot that the netstack has begun and not yet committed. */
  #begun = -1;

  constructor(config: EngineConfig, ports: EnginePorts, output: EngineOutput, now: Instant) {
    const mtu = config.mtu ?? DEFAULT_MTU;
    if (mtu < 1280 || mtu + 32 > ports.cipher.tx.stride) {
      throw new EngineError("ERR_INVALID_ARGUMENT", `MTU ${mtu} is outside 1280 … ${ports.cipher.tx.stride - 32}`);
    }
    const unmeasuredMtu = Math.min(mtu, config.unmeasuredMtu ?? mtu);
    this.#now = now;
    this.#cipher = ports.cipher;
    this.#output = output;
    this.#logger = ports.logger ?? silentLogger;
    this.#device = new Device(
      {
        privateKey: config.privateKey,
        crypto: ports.crypto,
        random: ports.random,
        cipher: ports.cipher,
        unixMs: ports.unixMs,
        logger: this.#logger,
        mtu,
        maxPeers: config.maxPeers,
      },
      this.#deviceOutput(),
    );
    if (config.disco !== undefined) {
      this.#discovery = new Discovery(
        {
          privateKey: config.disco.privateKey,
          nodeKey: this.#device.publicKey,
          blockDirect: config.disco.blockDirect ?? false,
          maxMtu: mtu,
          crypto: ports.crypto,
          random: ports.random,
        },
        {
          sendProbe: (to, packet, ttl) => output.sendProbe(to, packet, ttl),
          sendByRelay: (endpoint, packet) => this.#sendByRelay(endpoint, packet),
          pathChanged: (endpoint, chosen) => this.#foundPath(endpoint, chosen),
          suspected: ({ peer }) => this.#output.event({ kind: "direct-path-suspected", peer }),
          stuck: ({ peer }) => this.#output.event({ kind: "direct-path-stuck", peer }),
        },
        this.drops,
        now,
      );
    }
    this.netstack = new Netstack({
      addresses: config.addresses,
      mtu,
      routeMtu: (remote) => this.#endpointFor(remote)?.finder?.mtu ?? unmeasuredMtu,
      tallyOf: (remote) => this.#endpointFor(remote)?.finder?.tally,
      random: ports.random,
      output: this.#packetOutput(),
      checksum: ports.cipher.checksum,
      logger: this.#logger,
      tcp: config.tcp,
      maxConnections: config.maxConnections,
    });
  }

  get publicKey(): NodePublicKey {
    return this.#device.publicKey;
  }

  /** Adds a peer, or changes it in place: sessions and connections continue. */
  setPeer(config: EnginePeer, now: Instant): void {
    this.#now = now;
    const peer = this.#device.addPeer(
      {
        publicKey: config.publicKey,
        allowedIPs: config.allowedIPs,
        presharedKey: config.presharedKey,
        persistentKeepaliveMs: config.persistentKeepaliveMs,
      },
      now,
    );
    const endpoint = this.#peers.add(config.publicKey);
    peer.attachment = endpoint;
    const before = endpoint.current;
    endpoint.setHomeRegion(config.homeRegion);
    const addresses = config.udpEndpoints ?? [];
    const discovery = config.discoKey === undefined ? undefined : this.#discovery;
    if (discovery === undefined || !discovery.setPeer(endpoint, config.discoKey!, addresses, now)) {
      this.#discovery?.removePeer(endpoint);
      endpoint.setUdpPaths(this.#discovery?.blockDirect ? [] : addresses.map(udpPath));
    }
    if (endpoint.current !== before) this.#pathChanged(endpoint);
  }

  /** Our disco key; undefined without disco. */
  get discoKey(): DiscoPublicKey | undefined {
    return this.#discovery?.publicKey;
  }

  /**
   * Addresses at which we are probably reachable, best first: sent to peers while a path to them is searched for.
   * @param guesses See {@link Discovery.setOwnEndpoints}.
   */
  setOwnEndpoints(endpoints: readonly AddrPort[], guesses: readonly AddrPort[], now: Instant): void {
    this.#now = now;
    this.#discovery?.setOwnEndpoints(endpoints, guesses, now);
  }

  /**
   * Pings a peer by disco: through its relay and over the direct path, or all candidates while there is none. Calls back with
   * the first answer, or never. False when the peer is unknown, has no disco key, or nothing could be sent.
   */
  pingPeer(publicKey: NodePublicKey, onPong: (result: PongResult) => void, now: Instant): boolean {
    this.#now = now;
    const endpoint = this.#peers.find(publicKey);
    return endpoint !== undefined && (this.#discovery?.ping(endpoint, onPong, now) ?? false);
  }

  /** Pings a peer on its direct path alone: {@link Discovery.pingDirect}. Returns false if none answered lately. */
  pingDirect(publicKey: NodePublicKey, onPong: (result: PongResult) => void, now: Instant): boolean {
    this.#now = now;
    const endpoint = this.#peers.find(publicKey);
    return endpoint !== undefined && this.#discovery?.pingDirect(endpoint, onPong, now) !== undefined;
  }

  /** Forgets the peer and wipes its keys. Its connections stay until they time out or are closed. */
  removePeer(publicKey: NodePublicKey, now: Instant): boolean {
    const endpoint = this.#peers.find(publicKey);
    if (endpoint !== undefined) this.#discovery?.removePeer(endpoint);
    this.#peers.remove(publicKey);
    return this.#device.removePeer(publicKey, now);
  }

  /** Starts a handshake now rather than with the first packet. No effect while one is younger than 5 s. */
  startHandshake(publicKey: NodePublicKey, now: Instant): void {
    const peer = this.#device.peer(publicKey);
    if (peer !== undefined) this.#device.startHandshake(peer, now);
  }

  peerStatus(publicKey: NodePublicKey): PeerStatus | undefined {
    const peer = this.#device.peer(publicKey);
    return peer === undefined ? undefined : statusOf(peer);
  }

  /** The peer that an address inside the tunnel belongs to. */
  peerWithAddress(address: IpAddress): PeerStatus | undefined {
    const peer = this.#device.peerFor(address, 0, address.length);
    return peer === undefined ? undefined : statusOf(peer);
  }

  get peerCount(): number {
    return this.#peers.size;
  }

  peers(): PeerStatus[] {
    return Array.from(this.#device.peers, statusOf);
  }

  /** Drops of all layers by reason. */
  dropCounts(): DropCounts {
    const sum: Record<string, number> = {};
    for (const part of [this.drops, this.#device.drops, this.netstack.drops]) {
      for (const [reason, count] of Object.entries(part.counts)) sum[reason] = (sum[reason] ?? 0) + count;
    }
    return sum;
  }

  /** The path of datagrams from a socket address, for {@link handleDatagram}. */
  udpPathFrom(address: string, port: number, parse: (text: string) => IpAddress | undefined): UdpPath | undefined {
    return this.#paths.udp(address, port, parse);
  }

  /** One received datagram that is not STUN; borrowed. */
  handleDatagram(from: UdpPath, datagram: Uint8Array, now: Instant): void {
    // A node that cannot receive a WireGuard message of that size must not answer a probe of it either.
    if (datagram.length > this.#cipher.rx.stride) this.drops.count("too-long");
    else if (looksLikeDisco(datagram, 0, datagram.length)) {
      this.#now = now;
      this.#discovery?.handleDatagram(from, datagram, now);
    } else if (this.#discovery?.blockDirect) this.drops.count("no-path");
    else this.#receive(from, datagram, 0, datagram.length, now);
  }

  /** Like handleDatagram, but for a WireGuard data packet that lies in an RX slot already; takes the slot. */
  handleTransportSlot(from: UdpPath, slot: number, length: number, now: Instant): void {
    this.#now = now;
    if (this.#discovery?.blockDirect) {
      this.#cipher.rx.release(slot);
      this.drops.count("no-path");
    } else this.#device.decapsulate(slot, length, from, now);
  }

  /** One packet that the relay of `regionId` delivered from `source` (32-byte key); everything borrowed. */
  handleRelayPacket(
    regionId: number,
    source: Uint8Array,
    bytes: Uint8Array,
    offset: number,
    length: number,
    now: Instant,
  ): void {
    const path = this.#peers.relayPath(regionId, source);
    if (path === undefined) this.drops.count("unknown-peer");
    else if (looksLikeDisco(bytes, offset, length)) {
      this.#now = now;
      const packet = bytes.subarray(offset, offset + length);
      this.#discovery?.handleRelayPacket(this.#peers.find(source)!, path, regionId, packet, now);
    } else this.#receive(path, bytes, offset, length, now);
  }

  /** The relay of a region says that a peer is not connected to it. */
  handleRelayPeerGone(regionId: number, peer: Uint8Array, now: Instant): void {
    this.#now = now;
    const endpoint = this.#peers.find(peer);
    if (endpoint?.relayLost(regionId)) this.#pathChanged(endpoint);
  }

  /**
   * The network below came back or changed: everything unacknowledged is retransmitted at once instead of at the next time-out.
   * @param moved We lost an address or were suspended: direct paths are searched again. Otherwise they are only checked.
   */
  networkChanged(moved: boolean, now: Instant): void {
    this.#now = now;
    this.#discovery?.networkChanged(moved, now);
    this.netstack.networkChanged(now);
  }

  /** Our UDP port has changed: direct paths are searched again, relayed traffic is not affected. */
  portChanged(now: Instant): void {
    this.#now = now;
    this.#discovery?.portChanged(now);
  }

  /** A relay is connected again: what waits for it is sent at once. Direct paths are not affected. */
  relayReady(now: Instant): void {
    this.#now = now;
    this.#discovery?.relayReady(now);
    this.netstack.networkChanged(now, (remote) => this.#endpointFor(remote)?.current?.kind === "relay");
  }

  /**
   * Ends a turn: opens what was received, lets every connection send, seals and hands over what is to be sent.
   * @returns true when more waits to be sent: call again soon (or when the carrier is no longer congested).
   */
  flush(now: Instant): boolean {
    this.#now = now;
    this.#device.flush(now);
    const more = this.netstack.flush(now);
    this.#device.flush(now);
    this.#packetsLeft = TURN_PACKETS;
    this.#bytesLeft = TURN_BYTES;
    return more;
  }

  handleTimeout(now: Instant): void {
    this.#now = now;
    this.#discovery?.handleTimeout(now);
    this.#device.handleTimeout(now);
    this.netstack.handleTimeout(now);
  }

  /**
   * When to call {@link handleTimeout}; may be early, never late.
   * @param exact The result is not early either. This costs too much for every turn, and is for callers that sleep
   * until then.
   */
  nextTimeout(exact = false): Instant | undefined {
    const below = earliest(this.#device.nextTimeout(exact), this.#discovery?.nextTimeout(exact));
    return earliest(below, this.netstack.nextTimeout(exact));
  }

  #receive(path: Path, bytes: Uint8Array, offset: number, length: number, now: Instant): void {
    this.#now = now;
    const { rx, memory } = this.#cipher;
    if (length > rx.stride) {
      this.drops.count("too-long");
      return;
    }
    let slot = rx.lease();
    if (slot < 0) {
      this.#device.flush(now);
      slot = rx.lease();
      if (slot < 0) {
        this.drops.count("no-slot");
        return;
      }
    }
    copyInto(bytes, offset, length, memory.bytes, slot);
    this.#device.decapsulate(slot, length, path, now);
  }

  #packetOutput(): PacketOutput {
    return {
      memory: this.#cipher.memory,
      begin: () => {
        if (this.#begun < 0) {
          if (this.#packetsLeft <= 0 || this.#bytesLeft <= 0 || this.#output.congested()) return -1;
          this.#begun = this.#cipher.tx.lease();
          if (this.#begun < 0) return -1;
        }
        return this.#begun + WIREGUARD_HEADER_BYTES;
      },
      blocked: (remote) => {
        const path = this.#endpointFor(remote)?.current;
        return path?.kind === "relay" && this.#output.relayCongested(path.regionId);
      },
      commit: (length) => {
        const slot = this.#begun;
        this.#begun = -1;
        this.#packetsLeft--;
        this.#bytesLeft -= length;
        this.packetTap?.(this.#cipher.memory.bytes, slot + WIREGUARD_HEADER_BYTES, length);
        this.#device.encapsulate(slot, length, this.#now);
      },
    };
  }

  #deviceOutput(): DeviceOutput {
    return {
      sendMessage: (peer, slot, length, replyTo) => this.#send(peer, slot, length, replyTo),
      deliverPacket: (_peer, offset, length) => {
        this.packetTap?.(this.#cipher.memory.bytes, offset, length);
        this.netstack.handlePacket(this.#cipher.memory, offset, length, this.#now);
      },
      authenticated: (peer, source) => {
        const endpoint = endpointOf(peer);
        if (endpoint.heard(source as Path, this.#now)) this.#pathChanged(endpoint);
      },
      sessionEstablished: (peer) => {
        this.#output.event({ kind: "session-established", peer: peer.publicKey });
        this.netstack.networkChanged(this.#now);
      },
      handshakeGaveUp: (peer) => this.#output.event({ kind: "handshake-gave-up", peer: peer.publicKey }),
    };
  }

  #send(peer: Peer | undefined, slot: number, length: number, replyTo: MessageSource | undefined): void {
    const { tx, memory } = this.#cipher;
    let path = replyTo as Path | undefined;
    if (peer !== undefined) {
      const endpoint = endpointOf(peer);
      endpoint.noteSent(length > WIREGUARD_OVERHEAD_BYTES, this.#now);
      path = endpoint.current;
      if (path?.kind === "relay" && endpoint.copyTo !== undefined) {
        this.#output.sendRelay(path.regionId, path.peer, memory.bytes, slot, length);
        path = endpoint.copyTo;
      }
    }
    if (path === undefined) {
      this.drops.count("no-path");
      tx.release(slot);
    } else if (path.kind === "udp") {
      this.#output.sendDatagram(path, slot, length);
    } else {
      this.#output.sendRelay(path.regionId, path.peer, memory.bytes, slot, length);
      tx.release(slot);
    }
  }

  #sendByRelay({ relay }: Endpoint, packet: Uint8Array): boolean {
    if (relay === undefined) return false;
    this.#output.sendRelay(relay.regionId, relay.peer, packet, 0, packet.length);
    return true;
  }

  #endpointFor(remote: IpAddress): Endpoint | undefined {
    const peer = this.#device.peerFor(remote, 0, remote.length);
    return peer === undefined ? undefined : endpointOf(peer);
  }

  /** The disco layer found, lost or measured something. */
  #foundPath(endpoint: Endpoint, chosen: boolean): void {
    const before = endpoint.current;
    const concerns = (remote: IpAddress): boolean => this.#endpointFor(remote) === endpoint;
    this.netstack.routeMtuChanged(concerns);
    if (!endpoint.choose()) return;
    this.#pathChanged(endpoint);
    // Packets on their way over a path that died are lost: do not wait for time-outs.
    if (chosen) this.netstack.pathMoved(this.#now, concerns);
    else if (before?.kind === "udp") this.netstack.networkChanged(this.#now, concerns);
  }

  #pathChanged(endpoint: Endpoint): void {
    const path = endpoint.current;
    if (logs(this.#logger, "debug")) {
      this.#logger.log("debug", "path changed", { path: path === undefined ? "none" : describePath(path) });
    }
    this.#output.event({ kind: "path-changed", peer: endpoint.peer, path });
  }
}

function endpointOf(peer: Peer): Endpoint {
  return peer.attachment as Endpoint;
}

function statusOf(peer: Peer): PeerStatus {
  return {
    publicKey: peer.publicKey,
    path: endpointOf(peer).current,
    endpoint: endpointOf(peer),
    lastHandshakeAt: peer.lastHandshakeAt,
    lastReceivedAt: peer.lastReceivedAt,
    rxBytes: peer.rxBytes,
    txBytes: peer.txBytes,
  };
}
