import { type DropReason, Drops, EngineError } from "../base/errors.ts";
import { type Instant, instant } from "../base/instant.ts";
import type { AddrPort, IpAddress } from "../base/ip.ts";
import {
  type ChecksumFunction,
  type Logger,
  logs,
  type PacketMemory,
  type RandomSource,
  silentLogger,
} from "../base/ports.ts";
import type { SegmentTally } from "../base/segment-tally.ts";
import { Icmp, type IcmpError } from "./icmp.ts";
import { addressAt, isAt, OwnAddresses } from "./own-addresses.ts";
import type { PacketOutput } from "./packet-output.ts";
import { PathMtuCache } from "./path-mtu.ts";
import { Pinger, type PingKind } from "./pinger.ts";
import { Reassembly } from "./reassembly.ts";
import type { TcpConnection } from "./tcp/connection.ts";
import type { TcpListener, TcpRequestHandler } from "./tcp/listener.ts";
import type { TcpDefaults, TcpOptions } from "./tcp/options.ts";
import type { ListenOptions } from "./tcp/syn-backlog.ts";
import { TcpConnections } from "./tcp-connections.ts";
import { Tsmp } from "./tsmp.ts";
import type { UdpHandler, UdpSendQueue, UdpSendResult, UdpSocket } from "./udp.ts";
import { type UdpBinding, type UdpFallback, UdpHost } from "./udp-host.ts";
import { parseIpPacket } from "./wire/ip.ts";
import {
  IpPacket,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_TSMP,
  PROTOCOL_UDP,
} from "./wire/ip-packet.ts";

export type { PacketOutput } from "./packet-output.ts";
export { TcpConnection, type TcpHandler, type TcpInfo, type TcpState } from "./tcp/connection.ts";
export { TcpListener, type TcpRequest, type TcpRequestHandler } from "./tcp/listener.ts";
export type { TcpDefaults, TcpOptions } from "./tcp/options.ts";
export { type UdpHandler, type UdpQueueResult, UdpSendQueue, type UdpSendResult, UdpSocket } from "./udp.ts";
export type { StrayDatagram, UdpFallback } from "./udp-host.ts";

export interface NetstackConfig {
  /** This host's addresses. Packets to any other destination are dropped. */
  readonly addresses: readonly IpAddress[];
  /** Largest IP packet to send to any address. */
  readonly mtu: number;
  /** Largest IP packet to send to that address; asked often. Default: mtu. See {@link Netstack.routeMtuChanged}. */
  readonly routeMtu?: (remote: IpAddress) => number;
  /**
   * Where the fate of TCP segments to that address is counted; asked once per connection. Without it nothing is
   * counted.
   */
  readonly tallyOf?: (remote: IpAddress) => SegmentTally | undefined;
  /** Largest IP packet the tunnel can deliver to us, for the MSS we announce; default: mtu. */
  readonly receiveMtu?: number;
  readonly random: RandomSource;
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  readonly logger?: Logger;
  readonly tcp?: Partial<TcpDefaults> | undefined;
  /** Connections and undecided requests together. */
  readonly maxConnections?: number | undefined;
}

/**
 * A user-space IP host: IPv4, IPv6, TCP, UDP, ICMP and TSMP over whatever carries IP packets. Packets go in through
 * handlePacket(), time through handleTimeout(); packets leave through the PacketOutput, mostly inside flush(), which also
 * calls the TCP handlers. Call flush() at the end of every turn in which anything else here was called.
 */
export class Netstack {
  readonly drops = new Drops();
  readonly #own: OwnAddresses;
  readonly #checksum: ChecksumFunction;
  readonly #random: RandomSource;
  readonly #logger: Logger;
  readonly #tcp: TcpConnections;
  readonly #udp: UdpHost;
  #udpFirst = true;
  readonly #pinger = new Pinger();
  readonly #icmp: Icmp;
  readonly #tsmp: Tsmp;
  readonly #pathMtus = new PathMtuCache();
  readonly #reassembly = new Reassembly((reason) => this.#drop(reason));
  readonly #routeMtu: (remote: IpAddress) => number;
  #mtu: number;
  #now: Instant = instant(0);
  readonly #packet = new IpPacket();

  /** @internal */
  constructor(config: NetstackConfig) {
    this.#own = new OwnAddresses(config.addresses);
    this.#mtu = config.mtu;
    this.#routeMtu = config.routeMtu ?? (() => this.#mtu);
    this.#checksum = config.checksum;
    this.#random = config.random;
    this.#logger = config.logger ?? silentLogger;
    const { output, checksum, random } = config;
    const tableSeed = random.uint32();
    const identification = random.uint32();
    const pathMtu = (remote: AddrPort, now: Instant): number => this.#pathMtu(remote, now);
    this.#tcp = new TcpConnections(
      {
        output,
        checksum,
        random,
        own: this.#own,
        pathMtu,
        pathMtuReported: (remote, mtu, now) => this.#pathMtus.set(remote, mtu, now),
        dropped: (reason) => this.#drop(reason),
      },
      {
        defaults: config.tcp,
        maxConnections: config.maxConnections,
        receiveMtu: config.receiveMtu ?? config.mtu,
        tallyOf: config.tallyOf,
        tableSeed,
        sequenceSecret: random.bytes(16),
      },
    );
    const stack = this;
    this.#icmp = new Icmp(
      {
        output,
        checksum,
        get mtu() {
          return stack.#mtu;
        },
        pinger: this.#pinger,
        onIcmpError: (memory, error, now) => this.#onIcmpError(memory, error, now),
      },
      random.uint32(),
    );
    this.#tsmp = new Tsmp({ output, checksum, own: this.#own, pinger: this.#pinger });
    this.#udp = new UdpHost({ output, checksum, random, own: this.#own, icmp: this.#icmp, pathMtu }, identification);
  }

  get mtu(): number {
    return this.#mtu;
  }
  /** Connections, TIME-WAIT included, and undecided requests. */
  get connectionCount(): number {
    return this.#tcp.count;
  }

  /**
   * The path now carries larger or smaller packets. Connections adapt their segments; what was lost is found by their
   * timers.
   */
  setMtu(mtu: number): void {
    if (mtu === this.#mtu) return;
    this.#mtu = mtu;
    this.routeMtuChanged(() => true);
  }

  /** `routeMtu` now returns other values for these addresses. */
  routeMtuChanged(concerns: (remote: IpAddress) => boolean): void {
    this.#tcp.mtuChanged(concerns);
  }

  /** One received IP packet at memory.bytes[offset, offset+length); borrowed. Verifies checksums. Never throws on its content. */
  handlePacket(memory: PacketMemory, offset: number, length: number, now: Instant): void {
    this.#now = now;
    const packet = this.#packet;
    const reason = parseIpPacket(memory, offset, length, this.#checksum, packet) ?? this.#dispatch(memory, packet, now);
    if (reason !== undefined) this.#drop(reason);
  }

  /**
   * Calls the handlers of connections to which something happened, then emits whatever connections have to send (data,
   * ACKs, window updates), round-robin between them, until nothing is left or there is no slot.
   * @returns true when it stopped for lack of slots.
   */
  flush(now: Instant): boolean {
    this.#now = now;
    this.#tcp.deliverEvents(now);
    // The second of the two may find no slot, so they take turns at being first.
    let udpToo = this.#udpFirst;
    this.#udpFirst = !this.#udpFirst;
    do {
      if ((udpToo && !this.#udp.drain(now)) || !this.#tcp.transmit(now)) return true;
      udpToo = true;
    } while (this.#udp.isWaiting);
    return false;
  }

  /** Safe to call early or twice. */
  handleTimeout(now: Instant): void {
    this.#now = now;
    this.#tcp.handleTimeout(now);
  }

  nextTimeout(exact = false): Instant | undefined {
    return this.#tcp.nextTimeout(exact);
  }

  /**
   * The path works again or has changed: every connection with something outstanding sends at once.
   * @param concerns Selects the remote addresses; all by default.
   */
  networkChanged(now: Instant, concerns: (remote: IpAddress) => boolean = () => true): void {
    this.#now = now;
    this.#pathMtus.clear();
    this.#tcp.networkChanged(now, concerns);
  }

  /**
   * Packets to these addresses take another path from now on; those in flight are not lost. Connections discover its packet size.
   */
  pathMoved(now: Instant, concerns: (remote: IpAddress) => boolean): void {
    this.#now = now;
    this.#tcp.pathMoved(now, concerns);
  }

  /** Aborts every connection to an address for which `concerns` returns true. */
  abortConnections(concerns: (remote: IpAddress) => boolean): void {
    this.#tcp.abort(concerns);
  }

  /**
   * Opens a connection from our address of the same family and a random free port.
   * @throws EngineError ERR_ADDRESS_NOT_AVAILABLE, ERR_LIMIT, ERR_INVALID_ARGUMENT.
   */
  connectTcp(remote: AddrPort, options: TcpOptions, now: Instant): TcpConnection {
    this.#now = now;
    return this.#tcp.connect(remote, options, now);
  }

  /** @throws EngineError ERR_ADDRESS_IN_USE, ERR_INVALID_ARGUMENT. */
  listenTcp(options: ListenOptions, handler: TcpRequestHandler): TcpListener {
    return this.#tcp.listen(options, handler);
  }

  /** Receives the SYNs to ports without a listener; undefined: they are answered with RST. */
  setTcpFallback(handler: TcpRequestHandler | undefined): void {
    this.#tcp.setFallback(handler);
  }

  /** Port 0 picks a free one. @throws EngineError ERR_ADDRESS_IN_USE, ERR_ADDRESS_NOT_AVAILABLE, ERR_LIMIT, ERR_INVALID_ARGUMENT. */
  bindUdp(options: UdpBinding, handler: UdpHandler): UdpSocket {
    return this.#udp.bind(options, handler);
  }

  /** Receives the datagrams to ports without a socket; a bare function is its onDatagram. */
  setUdpFallback(fallback: UdpFallback | UdpFallback["onDatagram"] | undefined): void {
    this.#udp.setFallback(typeof fallback === "function" ? { onDatagram: fallback } : fallback);
  }

  /** A queue for datagrams that must not be lost merely because a turn's slots are used up. */
  createUdpQueue(): UdpSendQueue {
    return this.#udp.createQueue();
  }

  /** Answers a datagram that was accepted earlier with ICMP port unreachable after all. Silently limited. */
  refuseUdp(local: AddrPort, remote: AddrPort, payloadLength: number, now: Instant): void {
    this.#now = now;
    this.#icmp.sendUdpPortUnreachable(local, remote, payloadLength, now);
  }

  /** Longest payload that {@link sendUdp} accepts towards this address now, in fragments. */
  maxUdpPayload(remote: AddrPort): number {
    return this.#udp.maxPayload(remote, this.#now);
  }

  /** Sends at once, whether the port is bound or not; in fragments if one packet does not carry the datagram. */
  sendUdp(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult {
    this.#now = now;
    return this.#udp.send(local, remote, payload, now);
  }

  /**
   * One TSMP or ICMP echo request; lost when there is no slot or on the way. Calls back once, on the answer, inside
   * handlePacket(). There is no timeout: cancel it, or it is dropped when too many are outstanding.
   * @throws EngineError ERR_ADDRESS_NOT_AVAILABLE.
   */
  ping(kind: PingKind, destination: IpAddress, onReply: (rttMs: number) => void, now: Instant): { cancel(): void } {
    this.#now = now;
    const source = this.#own.towards(destination);
    if (source === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no own address of the destination's family");
    const data = this.#random.bytes(8);
    const sent =
      kind === "icmp"
        ? this.#icmp.sendEchoRequest(source, destination, data)
        : this.#tsmp.sendPing(source, destination, data);
    if (!sent) this.#drop("no-slot");
    return this.#pinger.add(kind, destination, data, onReply, now);
  }

  #dispatch(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    if (!this.#own.includes(memory, packet.destinationOffset, packet.addressLength)) return "not-for-us";
    if (!isUnicast(memory, packet)) return "malformed";
    if (packet.isFragment) return this.#handleFragment(memory, packet, now);
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        return this.#tcp.handle(memory, packet, now);
      case PROTOCOL_UDP:
        return this.#udp.handle(memory, packet, now);
      case PROTOCOL_ICMP:
        return packet.version === 4 ? this.#icmp.handle(memory, packet, now) : "unsupported-protocol";
      case PROTOCOL_ICMPV6:
        return packet.version === 6 ? this.#icmp.handle(memory, packet, now) : "unsupported-protocol";
      case PROTOCOL_TSMP:
        return this.#tsmp.handle(memory, packet, now);
      default:
        return "unsupported-protocol";
    }
  }

  #handleFragment(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    const whole = this.#reassembly.handle(memory, packet, this.#checksum, now);
    if (whole === undefined || typeof whole === "string") return whole;
    const reason = parseIpPacket(whole, 0, whole.bytes.length, this.#checksum, packet);
    if (reason !== undefined) return reason;
    return packet.isFragment ? "malformed" : this.#dispatch(whole, packet, now);
  }

  #onIcmpError(memory: PacketMemory, error: IcmpError, now: Instant): void {
    if (!this.#own.includes(memory, error.localOffset, error.addressLength)) {
      this.#drop("not-for-us");
      return;
    }
    const remote = addressAt(memory, error.remoteOffset, error.addressLength);
    if (error.protocol === PROTOCOL_TCP) {
      const reason = this.#tcp.handleIcmpError(memory, error, remote, now);
      if (reason !== undefined) this.#drop(reason);
      return;
    }
    if (error.protocol !== PROTOCOL_UDP) return;
    const { view } = memory;
    const localPort = view.getUint16(error.transportOffset);
    const remotePort = view.getUint16(error.transportOffset + 2);
    const local = { address: addressAt(memory, error.localOffset, error.addressLength), port: localPort };
    if (error.kind === "unreachable") {
      const isFromRemote = isAt(remote, memory, error.sourceOffset, error.addressLength);
      this.#udp.unreachable(local, { address: remote, port: remotePort }, isFromRemote);
    } else if (error.mtu < this.#mtu && this.#udp.isBound(local)) this.#pathMtus.set(remote, error.mtu, now);
  }

  #pathMtu(remote: AddrPort, now: Instant): number {
    const mtu = Math.min(this.#mtu, this.#routeMtu(remote.address));
    return Math.min(mtu, this.#pathMtus.get(remote.address, now) ?? mtu);
  }

  #drop(reason: DropReason): void {
    this.drops.count(reason);
    if (logs(this.#logger, "trace")) this.#logger.log("trace", "netstack dropped", { reason });
  }
}

/** False for a source that cannot be answered: unspecified, multicast, broadcast. */
function isUnicast(memory: PacketMemory, packet: IpPacket): boolean {
  const { bytes } = memory;
  const at = packet.sourceOffset;
  if (packet.version === 4) return bytes[at] !== 0 && bytes[at]! < 224;
  if (bytes[at] === 0xff) return false;
  for (let i = 0; i < 16; i++) if (bytes[at + i] !== 0) return true;
  return false;
}
