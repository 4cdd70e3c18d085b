import { type DropCounts, Drops, EngineError } from "./base/errors.ts";
import { earliest, type Instant } from "./base/instant.ts";
import type { AddrPort, IpAddress, IpPrefix } from "./base/ip.ts";
import type { NodePrivateKey, NodePublicKey } from "./base/keys.ts";
import type { CryptoSuite, Logger, PacketCipher, RandomSource } from "./base/ports.ts";
import { logs, silentLogger } from "./base/ports.ts";
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
/** Packets sent in one turn before other work gets its chance: about 1.5 ms at full speed. */
const TURN_PACKETS = 256;

export interface EngineConfig {
  readonly privateKey: NodePrivateKey;
  /** Our addresses inside the tunnel. */
  readonly addresses: readonly IpAddress[];
  /** Inner MTU in bytes; {@link DEFAULT_MTU} unless all peers are known to carry more. */
  readonly mtu?: number;
  readonly maxPeers?: number;
  readonly tcp?: Partial<TcpDefaults>;
  readonly maxConnections?: number;
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
  /** True while the carrier below holds so much that new data should wait: the netstack then sends nothing. */
  congested(): boolean;
  event(event: EngineEvent): void;
}

export type EngineEvent =
  | { readonly kind: "session-established"; readonly peer: NodePublicKey }
  | { readonly kind: "handshake-gave-up"; readonly peer: NodePublicKey }
  | { readonly kind: "path-changed"; readonly peer: NodePublicKey; readonly path: Path | undefined };

export interface EnginePeer {
  readonly publicKey: NodePublicKey;
  /** Inner addresses the peer may use: what is routed to it and what it may send from. */
  readonly allowedIPs: readonly IpPrefix[];
  readonly presharedKey?: Uint8Array;
  readonly persistentKeepaliveMs?: number;
  /** Relay region the peer listens on; absent for none. */
  readonly homeRegion?: number;
  /** UDP addresses where the peer may be reached without negotiation. */
  readonly udpEndpoints?: readonly AddrPort[];
}

export interface PeerStatus {
  readonly publicKey: NodePublicKey;
  readonly path: Path | undefined;
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
  readonly #paths = new PathTable();
  readonly #cipher: PacketCipher;
  readonly #output: EngineOutput;
  readonly #logger: Logger;
  #now: Instant;
  /** Packets the netstack may still send before other work gets its turn. */
  #budget = TURN_PACKETS;
  /** TX slot that the netstack has begun and not yet committed. */
  #begun = -1;

  constructor(config: EngineConfig, ports: EnginePorts, output: EngineOutput, now: Instant) {
    const mtu = config.mtu ?? DEFAULT_MTU;
    if (mtu < 1280 || mtu + 32 > ports.cipher.tx.stride) {
      throw new EngineError("ERR_INVALID_ARGUMENT", `MTU ${mtu} is outside 1280 … ${ports.cipher.tx.stride - 32}`);
    }
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
        ...(config.maxPeers === undefined ? {} : { maxPeers: config.maxPeers }),
      },
      this.#deviceOutput(),
    );
    this.netstack = new Netstack({
      addresses: config.addresses,
      mtu,
      random: ports.random,
      output: this.#packetOutput(),
      checksum: ports.cipher.checksum,
      logger: this.#logger,
      ...(config.tcp === undefined ? {} : { tcp: config.tcp }),
      ...(config.maxConnections === undefined ? {} : { maxConnections: config.maxConnections }),
    });
  }

  get publicKey(): NodePublicKey {
    return this.#device.publicKey;
  }

  /** Adds a peer, or changes it in place: sessions and connections go on. */
  setPeer(config: EnginePeer, now: Instant): void {
    this.#now = now;
    const peer = this.#device.addPeer(
      {
        publicKey: config.publicKey,
        allowedIPs: config.allowedIPs,
        ...(config.presharedKey === undefined ? {} : { presharedKey: config.presharedKey }),
        ...(config.persistentKeepaliveMs === undefined ? {} : { persistentKeepaliveMs: config.persistentKeepaliveMs }),
      },
      now,
    );
    const endpoint = this.#peers.add(config.publicKey);
    peer.attachment = endpoint;
    let changed = endpoint.setUdpPaths((config.udpEndpoints ?? []).map(udpPath));
    changed = endpoint.setHomeRegion(config.homeRegion) || changed;
    if (changed) this.#pathChanged(endpoint);
  }

  /** Forgets the peer and wipes its keys. Its connections stay until they time out or are closed. */
  removePeer(publicKey: NodePublicKey, now: Instant): boolean {
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

  /** One received datagram; borrowed. */
  handleDatagram(from: UdpPath, datagram: Uint8Array, now: Instant): void {
    this.#receive(from, datagram, 0, datagram.length, now);
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
    else this.#receive(path, bytes, offset, length, now);
  }

  /** The relay of a region says that a peer is not connected to it. */
  handleRelayPeerGone(regionId: number, peer: Uint8Array, now: Instant): void {
    this.#now = now;
    const endpoint = this.#peers.find(peer);
    if (endpoint?.relayLost(regionId)) this.#pathChanged(endpoint);
  }

  /** The network below came back or changed: everything unacknowledged is sent again at once, not at the next time-out. */
  networkChanged(now: Instant): void {
    this.#now = now;
    this.netstack.networkChanged(now);
  }

  /**
   * Ends a turn: opens what was received, lets every connection send, seals and hands over what is to go.
   * @returns true when more waits to be sent: call again soon (or when the carrier is no longer congested).
   */
  flush(now: Instant): boolean {
    this.#now = now;
    this.#device.flush(now);
    const more = this.netstack.flush(now);
    this.#device.flush(now);
    this.#budget = TURN_PACKETS;
    return more;
  }

  handleTimeout(now: Instant): void {
    this.#now = now;
    this.#device.handleTimeout(now);
    this.netstack.handleTimeout(now);
  }

  nextTimeout(): Instant | undefined {
    return earliest(this.#device.nextTimeout(), this.netstack.nextTimeout());
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
    copyInto(memory.bytes, slot, bytes, offset, length);
    this.#device.decapsulate(slot, length, path, now);
  }

  #packetOutput(): PacketOutput {
    return {
      memory: this.#cipher.memory,
      begin: () => {
        if (this.#begun < 0) {
          if (this.#budget <= 0 || this.#output.congested()) return -1;
          this.#begun = this.#cipher.tx.lease();
          if (this.#begun < 0) return -1;
        }
        return this.#begun + WIREGUARD_HEADER_BYTES;
      },
      commit: (length) => {
        const slot = this.#begun;
        this.#begun = -1;
        this.#budget--;
        this.#device.encapsulate(slot, length, this.#now);
      },
    };
  }

  #deviceOutput(): DeviceOutput {
    return {
      sendMessage: (peer, slot, length, replyTo) => this.#send(peer, slot, length, replyTo),
      deliverPacket: (_peer, offset, length) =>
        this.netstack.handlePacket(this.#cipher.memory, offset, length, this.#now),
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
    const path = peer === undefined ? (replyTo as Path | undefined) : endpointOf(peer).current;
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
    lastHandshakeAt: peer.lastHandshakeAt,
    lastReceivedAt: peer.lastReceivedAt,
    rxBytes: peer.rxBytes,
    txBytes: peer.txBytes,
  };
}

/** Copies one received message into its slot. */
function copyInto(target: Uint8Array, at: number, bytes: Uint8Array, offset: number, length: number): void {
  if (offset === 0 && length === bytes.length) target.set(bytes, at);
  else target.set(bytes.subarray(offset, offset + length), at);
}
