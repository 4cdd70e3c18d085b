import { DeadlineHeap } from "../base/deadline-heap.ts";
import { type DropReason, Drops, EngineError } from "../base/errors.ts";
import { earliest, type Instant, instant } from "../base/instant.ts";
import { type AddrPort, type IpAddress, ipEqual } from "../base/ip.ts";
import {
  type ChecksumFunction,
  type Logger,
  logs,
  type PacketMemory,
  type RandomSource,
  silentLogger,
} from "../base/ports.ts";
import { SegmentTally } from "../base/segment-tally.ts";
import { ConnectionTable } from "./connection-table.ts";
import { addressAt, Icmp, type IcmpError } from "./icmp.ts";
import type { PacketOutput } from "./packet-output.ts";
import { PathMtuCache } from "./path-mtu.ts";
import { Pinger, type PingKind } from "./pinger.ts";
import { Reassembly } from "./reassembly.ts";
import { SipHash } from "./siphash.ts";
import { ChunkPool } from "./tcp/chunk-pool.ts";
import { type PassiveOpen, TcpConnection, type TcpHost, TRANSMIT_IDLE, TRANSMIT_NO_SLOT } from "./tcp/connection.ts";
import { Backlog, PendingRequest, TcpListener, type TcpRequestHandler } from "./tcp/listener.ts";
import { TCP_DEFAULTS, type TcpDefaults, type TcpOptions } from "./tcp/options.ts";
import { TokenBucket } from "./token-bucket.ts";
import { type UdpHandler, UdpSendQueue, type UdpSendResult, UdpSocket } from "./udp.ts";
import {
  emitFragmentHeader,
  emitIpHeader,
  fragmentHeaderBytes,
  ipHeaderBytes,
  parseIpPacket,
  pseudoHeaderSum,
  transportChecksum,
  transportSum,
} from "./wire/ip.ts";
import {
  IpPacket,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_TSMP,
  PROTOCOL_UDP,
} from "./wire/ip-packet.ts";
import { ACK, emitTcp, FIN, parseTcp, RST, SYN, TCP_HEADER_BYTES, TcpSegment } from "./wire/tcp.ts";
import { TSMP_PING, TSMP_PING_BYTES, TSMP_PONG, TSMP_PONG_BYTES } from "./wire/tsmp.ts";
import { emitUdp, parseUdp, UDP_HEADER_BYTES, UdpHeader } from "./wire/udp.ts";

export type { PacketOutput } from "./packet-output.ts";
export { TcpConnection, type TcpHandler, type TcpInfo, type TcpState } from "./tcp/connection.ts";
export { TcpListener, type TcpRequest, type TcpRequestHandler } from "./tcp/listener.ts";
export type { TcpDefaults, TcpOptions } from "./tcp/options.ts";
export { type UdpHandler, type UdpQueueResult, UdpSendQueue, type UdpSendResult, UdpSocket } from "./udp.ts";

export interface NetstackConfig {
  /** Ours. Packets to any other destination are dropped. */
  readonly addresses: readonly IpAddress[];
  /** Largest IP packet to send to anybody. */
  readonly mtu: number;
  /** Largest IP packet to send to that address; asked often. Absent: mtu. See {@link Netstack.routeMtuChanged}. */
  readonly routeMtu?: (remote: IpAddress) => number;
  /** Where the fate of TCP segments to that address is counted; asked once per connection. Absent: nowhere. */
  readonly tallyOf?: (remote: IpAddress) => SegmentTally | undefined;
  /** Largest IP packet the tunnel can deliver to us, for the MSS we announce; default: mtu. */
  readonly receiveMtu?: number;
  readonly random: RandomSource;
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  readonly logger?: Logger;
  readonly tcp?: Partial<TcpDefaults>;
  /** Connections and undecided requests together. */
  readonly maxConnections?: number;
}

/** A datagram to a port without socket. */
export interface StrayDatagram {
  readonly local: AddrPort;
  readonly remote: AddrPort;
  /** Borrowed. */
  readonly payload: Uint8Array;
}

/** Whoever takes the datagrams of all ports without socket. */
export interface UdpFallback {
  /** False: nobody is there, the sender is told so (ICMP port unreachable). */
  onDatagram(datagram: StrayDatagram): boolean;
  /** An ICMP error answered a datagram that was sent from a port without socket. */
  onUnreachable?(local: AddrPort, remote: AddrPort): void;
}

const DEFAULT_MAX_CONNECTIONS = 16384;
const MAX_UDP_SOCKETS = 16384;
/** A datagram that one packet does not carry goes in at most this many; a longer one is refused. */
const MAX_UDP_FRAGMENTS = 8;
/** Segments a connection may send before the next one's turn. */
const QUANTUM = 4;
/** Datagrams a waiting queue may send before the next one's turn, and before that of the connections. */
const UDP_QUANTUM = 8;
/** RFC 6056 §3.2 prefers the whole range; the registered part below is left to listeners. */
const EPHEMERAL_FIRST = 32768;
const EPHEMERAL_COUNT = 65536 - EPHEMERAL_FIRST;
/** RFC 5961 §7. */
const CHALLENGES_PER_SECOND = 100;
/** Full chunks of stream buffers kept for reuse while streams run: 16 MB, what one fast stream may need. */
const POOLED_CHUNKS = 256;

type TableValue = TcpConnection | PendingRequest;

/**
 * A user-space IP host: IPv4, IPv6, TCP, UDP, ICMP and TSMP over whatever carries IP packets. Packets go in through
 * handlePacket(), time through handleTimeout(); packets leave through the PacketOutput, mostly inside flush(), which also
 * calls the TCP handlers. Call flush() at the end of every turn in which anything else here was called.
 */
export class Netstack {
  readonly drops = new Drops();
  readonly #addresses: readonly IpAddress[];
  readonly #output: PacketOutput;
  readonly #checksum: ChecksumFunction;
  readonly #random: RandomSource;
  readonly #logger: Logger;
  readonly #tcp: TcpDefaults;
  readonly #maxConnections: number;
  readonly #receiveMtu: number;
  readonly #table: ConnectionTable<TableValue>;
  readonly #heap = new DeadlineHeap<TcpConnection>();
  readonly #listeners = new Map<number, TcpListener[]>();
  readonly #udpSockets = new Map<number, UdpSocket[]>();
  #udpSocketCount = 0;
  #udpFallback: UdpFallback | undefined;
  /** Queues whose datagrams found no slot, in the order of their turns. */
  readonly #udpQueues = new Set<UdpSendQueue>();
  #udpFirst = true;
  #tcpFallback: Backlog | undefined;
  /** Undecided, oldest first; all wait equally long. */
  readonly #requests = new Set<PendingRequest>();
  /** In TIME-WAIT, oldest first. */
  readonly #timeWaits = new Set<TcpConnection>();
  readonly #pinger = new Pinger();
  readonly #icmp: Icmp;
  readonly #pathMtus = new PathMtuCache();
  readonly #reassembly = new Reassembly((reason) => this.#drop(reason));
  #identification: number;
  readonly #challenges = new TokenBucket(CHALLENGES_PER_SECOND, CHALLENGES_PER_SECOND);
  readonly #isnHash: SipHash;
  readonly #host: TcpHost;
  readonly #routeMtu: (remote: IpAddress) => number;
  #mtu: number;
  #now: Instant = instant(0);
  #ready: TcpConnection[] = [];
  #readyHead = 0;
  /** Ready, but the carrier to their peer is full: they wait for the next flush without holding up the others. */
  readonly #blocked: TcpConnection[] = [];
  #eventful: TcpConnection[] = [];
  #eventfulHead = 0;
  readonly #packet = new IpPacket();
  readonly #segment = new TcpSegment();
  readonly #udpHeader = new UdpHeader();

  /** @internal */
  constructor(config: NetstackConfig) {
    this.#addresses = config.addresses;
    this.#mtu = config.mtu;
    this.#routeMtu = config.routeMtu ?? (() => this.#mtu);
    this.#receiveMtu = config.receiveMtu ?? config.mtu;
    this.#output = config.output;
    this.#checksum = config.checksum;
    this.#random = config.random;
    this.#logger = config.logger ?? silentLogger;
    this.#tcp = { ...TCP_DEFAULTS, ...config.tcp };
    this.#maxConnections = config.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
    this.#table = new ConnectionTable(config.random.uint32());
    this.#identification = config.random.uint32();
    this.#isnHash = new SipHash(config.random.bytes(16));
    this.#host = this.#makeHost(config);
    const stack = this;
    this.#icmp = new Icmp(
      {
        output: config.output,
        checksum: config.checksum,
        get mtu() {
          return stack.#mtu;
        },
        pinger: this.#pinger,
        onIcmpError: (memory, error, now) => this.#onIcmpError(memory, error, now),
      },
      config.random.uint32(),
    );
  }

  get mtu(): number {
    return this.#mtu;
  }
  /** Connections, TIME-WAIT included, and undecided requests. */
  get connectionCount(): number {
    return this.#table.size;
  }

  /** The path carries more or less now. Connections adapt their segments; what was lost is found by their timers. */
  setMtu(mtu: number): void {
    if (mtu === this.#mtu) return;
    this.#mtu = mtu;
    this.routeMtuChanged(() => true);
  }

  /** What `routeMtu` says about these addresses is new. */
  routeMtuChanged(concerns: (remote: IpAddress) => boolean): void {
    this.#forEachConnection((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.mtuChanged(this.#pathMtu(connection.remote), false, this.#now);
    });
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
    for (const connection of this.#blocked) this.#markReady(connection);
    this.#blocked.length = 0;
    this.#deliverEvents();
    // Whoever comes second may find no slot, so they change places.
    let udpToo = this.#udpFirst;
    this.#udpFirst = !this.#udpFirst;
    do {
      if ((udpToo && !this.#drainUdp(now)) || !this.#transmitTcp(now)) return true;
      udpToo = true;
    } while (this.#udpQueues.size > 0);
    return false;
  }

  /** One turn for every waiting queue. False: no slot. */
  #drainUdp(now: Instant): boolean {
    if (this.#udpQueues.size === 0) return true;
    for (const queue of Array.from(this.#udpQueues)) {
      const enough = queue.drain(UDP_QUANTUM, now);
      this.#udpQueues.delete(queue);
      if (queue.length > 0) this.#udpQueues.add(queue); // to the end: the others' turn
      if (!enough) return false;
    }
    return true;
  }

  /** False: no slot. */
  #transmitTcp(now: Instant): boolean {
    while (this.#readyHead < this.#ready.length) {
      const connection = this.#ready[this.#readyHead++]!;
      connection.queuedReady = false;
      if (this.#output.blocked?.(connection.remote.address) === true) {
        this.#blocked.push(connection);
        continue;
      }
      let result = TRANSMIT_IDLE;
      for (let i = 0; i < QUANTUM; i++) {
        result = connection.transmit(now);
        if (result === TRANSMIT_IDLE || result === TRANSMIT_NO_SLOT) break;
      }
      if (connection.state !== "CLOSED") this.#heap.update(connection);
      if (result === TRANSMIT_IDLE) continue;
      if (result === TRANSMIT_NO_SLOT) {
        connection.queuedReady = true;
        this.#ready[--this.#readyHead] = connection;
        return false;
      }
      this.#markReady(connection);
    }
    this.#ready.length = this.#readyHead = 0;
    return true;
  }

  /** Safe to call early or twice. */
  handleTimeout(now: Instant): void {
    this.#now = now;
    for (;;) {
      const connection = this.#heap.takeExpired(now);
      if (connection === undefined) break;
      connection.handleTimeout(now);
      if (connection.state !== "CLOSED") this.#heap.update(connection);
    }
    for (const request of this.#requests) {
      if (request.deadline > now) break;
      this.#rejectRequest(request);
    }
  }

  nextTimeout(): Instant | undefined {
    let requestDeadline: Instant | undefined;
    for (const request of this.#requests) {
      requestDeadline = request.deadline;
      break;
    }
    return earliest(this.#heap.next(), requestDeadline);
  }

  /**
   * The path works again or is another one: every connection with something outstanding sends at once.
   * @param concerns Which remote addresses are meant; all by default.
   */
  networkChanged(now: Instant, concerns: (remote: IpAddress) => boolean = () => true): void {
    this.#now = now;
    this.#pathMtus.clear();
    this.#forEachConnection((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.kick(now, true);
      this.#heap.update(connection);
    });
  }

  /**
   * Packets to these addresses take another path from now on; those under way are not lost. Connections learn anew what it
   * carries.
   */
  pathMoved(now: Instant, concerns: (remote: IpAddress) => boolean): void {
    this.#now = now;
    this.#forEachConnection((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.moved(now);
      this.#heap.update(connection);
    });
  }

  /** Aborts every connection to the addresses meant. */
  abortConnections(concerns: (remote: IpAddress) => boolean): void {
    const meant: TcpConnection[] = [];
    this.#forEachConnection((connection) => {
      if (concerns(connection.remote.address)) meant.push(connection);
    });
    for (const connection of meant) connection.abort();
  }

  /**
   * Opens a connection from our address of the same family and a random free port.
   * @throws EngineError ERR_ADDRESS_NOT_AVAILABLE, ERR_LIMIT, ERR_INVALID_ARGUMENT.
   */
  connectTcp(remote: AddrPort, options: TcpOptions, now: Instant): TcpConnection {
    this.#now = now;
    if (remote.port < 1 || remote.port > 65535)
      throw new EngineError("ERR_INVALID_ARGUMENT", `port ${remote.port} is not between 1 and 65535`);
    const address = this.#ownAddressFor(remote.address);
    if (address === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no own address of the remote's family");
    if (this.#table.size >= this.#maxConnections)
      throw new EngineError("ERR_LIMIT", `already ${this.#table.size} connections`, { retryable: true });
    const start = this.#random.uint32();
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const local = { address, port: EPHEMERAL_FIRST + ((start + i) % EPHEMERAL_COUNT) };
      if (this.#table.has(local, remote)) continue;
      return this.#addConnection(local, remote, options, undefined, now);
    }
    throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no free port towards this remote", { retryable: true });
  }

  /** @throws EngineError ERR_ADDRESS_IN_USE, ERR_INVALID_ARGUMENT. */
  listenTcp(
    options: { readonly port: number; readonly address?: IpAddress; readonly backlog?: number },
    handler: TcpRequestHandler,
  ): TcpListener {
    const { port, address } = options;
    if (!Number.isInteger(port) || port < 1 || port > 65535)
      throw new EngineError("ERR_INVALID_ARGUMENT", `port ${port} is not between 1 and 65535`);
    const others = this.#listeners.get(port) ?? [];
    if (others.some((other) => overlaps(other.address, address)))
      throw new EngineError("ERR_ADDRESS_IN_USE", `TCP port ${port} has a listener`);
    const backlog = new Backlog(handler, options.backlog ?? this.#tcp.backlog);
    const listener = new TcpListener(port, address, backlog, (closed) => removeFrom(this.#listeners, port, closed));
    this.#listeners.set(port, [...others, listener]);
    return listener;
  }

  /** Called for SYNs to ports nobody listens on; undefined: they are answered with RST. */
  setTcpFallback(handler: TcpRequestHandler | undefined): void {
    this.#tcpFallback = handler === undefined ? undefined : new Backlog(handler, this.#tcp.backlog);
  }

  /** Port 0 picks a free one. @throws EngineError ERR_ADDRESS_IN_USE, ERR_ADDRESS_NOT_AVAILABLE, ERR_LIMIT, ERR_INVALID_ARGUMENT. */
  bindUdp(options: { readonly port: number; readonly address?: IpAddress }, handler: UdpHandler): UdpSocket {
    if (this.#udpSocketCount >= MAX_UDP_SOCKETS)
      throw new EngineError("ERR_LIMIT", `already ${this.#udpSocketCount} UDP sockets`, { retryable: true });
    const { address } = options;
    if (!Number.isInteger(options.port) || options.port < 0 || options.port > 65535)
      throw new EngineError("ERR_INVALID_ARGUMENT", `port ${options.port} is not between 0 and 65535`);
    const port = options.port === 0 ? this.#freeUdpPort() : options.port;
    const others = this.#udpSockets.get(port) ?? [];
    if (others.some((other) => overlaps(other.address, address)))
      throw new EngineError("ERR_ADDRESS_IN_USE", `UDP port ${port} is bound`);
    const socket = new UdpSocket(
      {
        sendUdp: (local, remote, payload, now) => this.sendUdp(local, remote, payload, now),
        ownAddressFor: (remote) => this.#ownAddressFor(remote),
        closeUdp: (closed) => {
          this.#udpSocketCount--;
          removeFrom(this.#udpSockets, port, closed);
        },
      },
      port,
      address,
      handler,
    );
    this.#udpSockets.set(port, [...others, socket]);
    this.#udpSocketCount++;
    return socket;
  }

  /** Asked for datagrams to ports without socket; a bare function is its onDatagram. */
  setUdpFallback(fallback: UdpFallback | UdpFallback["onDatagram"] | undefined): void {
    this.#udpFallback = typeof fallback === "function" ? { onDatagram: fallback } : fallback;
  }

  /** A queue for datagrams that must not be lost merely because a turn's slots are used up. */
  createUdpQueue(): UdpSendQueue {
    return new UdpSendQueue({
      sendUdp: (local, remote, payload, now) =>
        this.#output.blocked?.(remote.address) === true ? "carrier-full" : this.sendUdp(local, remote, payload, now),
      udpWaiting: (queue) => void this.#udpQueues.add(queue),
    });
  }

  /** Tells the sender of a datagram that was already taken that nobody is on the port after all. Silently limited. */
  refuseUdp(local: AddrPort, remote: AddrPort, payloadLength: number, now: Instant): void {
    this.#now = now;
    this.#icmp.sendUdpPortUnreachable(local, remote, payloadLength, now);
  }

  /** Longest payload that {@link sendUdp} takes towards this address now; the longer ones go in fragments. */
  maxUdpPayload(remote: AddrPort): number {
    return MAX_UDP_FRAGMENTS * this.#fragmentBytes(remote) - UDP_HEADER_BYTES;
  }

  /** Sends at once, whether the port is bound or not. A datagram that one packet does not carry goes in fragments. */
  sendUdp(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult {
    this.#now = now;
    const headers = ipHeaderBytes(local.address) + UDP_HEADER_BYTES;
    if (headers + payload.length > this.#pathMtu(remote)) return this.#sendUdpInFragments(local, remote, payload);
    const { memory } = this.#output;
    const offset = this.#output.begin();
    if (offset < 0) return "no-slot";
    const length = UDP_HEADER_BYTES + payload.length;
    const header = emitIpHeader(memory, offset, local.address, remote.address, PROTOCOL_UDP, length, this.#checksum);
    emitUdp(memory, offset + header, local.port, remote.port, payload.length);
    memory.bytes.set(payload, offset + headers);
    const sum = transportChecksum(memory, offset, header, PROTOCOL_UDP, length, this.#checksum);
    memory.view.setUint16(offset + header + 6, sum === 0 ? 0xffff : sum);
    this.#output.commit(header + length);
    return "sent";
  }

  #fragmentBytes(remote: AddrPort): number {
    return (this.#pathMtu(remote) - fragmentHeaderBytes(remote.address)) & ~7;
  }

  /** "no-slot" when there is none for one of them: the caller sends the datagram again, as another one. */
  #sendUdpInFragments(local: AddrPort, remote: AddrPort, payload: Uint8Array): UdpSendResult {
    const most = this.#fragmentBytes(remote);
    const total = UDP_HEADER_BYTES + payload.length;
    if (total > MAX_UDP_FRAGMENTS * most) return "too-large";
    const { memory } = this.#output;
    this.#identification = (this.#identification + 1) >>> 0;
    for (let at = 0; at < total; at += most) {
      const offset = this.#output.begin();
      if (offset < 0) return "no-slot";
      const length = Math.min(most, total - at);
      const header = emitFragmentHeader(
        memory,
        offset,
        local.address,
        remote.address,
        PROTOCOL_UDP,
        length,
        this.#identification,
        at,
        at + length < total,
        this.#checksum,
      );
      if (at === 0) {
        emitUdp(memory, offset + header, local.port, remote.port, payload.length);
        const pseudo = pseudoHeaderSum(local.address, remote.address, PROTOCOL_UDP, total, this.#checksum);
        const udp = this.#checksum(memory.bytes, offset + header, UDP_HEADER_BYTES, pseudo);
        const sum = ~this.#checksum(payload, 0, payload.length, udp) & 0xffff;
        memory.view.setUint16(offset + header + 6, sum === 0 ? 0xffff : sum);
        memory.bytes.set(payload.subarray(0, length - UDP_HEADER_BYTES), offset + header + UDP_HEADER_BYTES);
      } else {
        memory.bytes.set(payload.subarray(at - UDP_HEADER_BYTES, at - UDP_HEADER_BYTES + length), offset + header);
      }
      this.#output.commit(header + length);
    }
    return "sent";
  }

  /**
   * One TSMP or ICMP echo request; lost when there is no slot or on the way. Calls back once, on the answer, inside
   * handlePacket(). It never gives up by itself: cancel it, or it makes room when too many are outstanding.
   * @throws EngineError ERR_ADDRESS_NOT_AVAILABLE.
   */
  ping(kind: PingKind, destination: IpAddress, onReply: (rttMs: number) => void, now: Instant): { cancel(): void } {
    this.#now = now;
    const source = this.#ownAddressFor(destination);
    if (source === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no own address of the destination's family");
    const data = this.#random.bytes(8);
    const sent =
      kind === "icmp"
        ? this.#icmp.sendEchoRequest(source, destination, data)
        : this.#sendTsmp(source, destination, TSMP_PING, data, TSMP_PING_BYTES);
    if (!sent) this.#drop("no-slot");
    return this.#pinger.add(kind, destination, data, onReply, now);
  }

  #dispatch(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    if (!this.#isOwn(memory, packet.destinationOffset, packet.addressLength)) return "not-for-us";
    if (!isUnicast(memory, packet)) return "malformed";
    if (packet.isFragment) return this.#handleFragment(memory, packet, now);
    switch (packet.protocol) {
      case PROTOCOL_TCP:
        return this.#handleTcp(memory, packet, now);
      case PROTOCOL_UDP:
        return this.#handleUdp(memory, packet, now);
      case PROTOCOL_ICMP:
        return packet.version === 4 ? this.#icmp.handle(memory, packet, now) : "unsupported-protocol";
      case PROTOCOL_ICMPV6:
        return packet.version === 6 ? this.#icmp.handle(memory, packet, now) : "unsupported-protocol";
      case PROTOCOL_TSMP:
        return this.#handleTsmp(memory, packet, now);
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

  #handleTcp(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    if (transportSum(memory, packet, this.#checksum) !== 0xffff) return "bad-checksum";
    const segment = this.#segment;
    const reason = parseTcp(memory, packet.payloadOffset, packet.payloadLength, segment);
    if (reason !== undefined) return reason;
    const found = this.#table.find(
      memory,
      packet.destinationOffset,
      packet.sourceOffset,
      packet.addressLength,
      segment.destinationPort,
      segment.sourcePort,
    );
    if (found instanceof TcpConnection) {
      const takesOver = (segment.flags & (SYN | ACK | RST)) === SYN && found.yieldsTo(segment);
      if (!takesOver) {
        found.handleSegment(segment, memory, now);
        if (found.state !== "CLOSED") this.#heap.update(found);
        return undefined;
      }
      found.forget();
    } else if (found !== undefined) {
      return this.#handleRequestSegment(found, segment);
    }
    return this.#handleStraySegment(memory, packet, segment, now);
  }

  /** The peer does not know yet that we are thinking about it: only a reset changes anything. */
  #handleRequestSegment(request: PendingRequest, segment: TcpSegment): DropReason | undefined {
    if ((segment.flags & RST) !== 0) {
      if (segment.seq !== (request.irs + 1) >>> 0) return "out-of-window";
      this.#endRequest(request);
      request.backlog.pending--;
    }
    return undefined;
  }

  #handleStraySegment(
    memory: PacketMemory,
    packet: IpPacket,
    segment: TcpSegment,
    now: Instant,
  ): DropReason | undefined {
    const { flags } = segment;
    if ((flags & RST) !== 0) return "no-socket";
    const local = { address: this.#ownAddressAt(memory, packet), port: segment.destinationPort };
    const remote = {
      address: addressAt(memory, packet.sourceOffset, packet.addressLength),
      port: segment.sourcePort,
    };
    if ((flags & (SYN | ACK | FIN)) === SYN) {
      const backlog = this.#backlogFor(local);
      if (backlog !== undefined) {
        if (backlog.pending >= backlog.limit || this.#table.size >= this.#maxConnections) return "queue-full";
        const host = {
          acceptRequest: (request: PendingRequest, options: TcpOptions, at: Instant) =>
            this.#acceptRequest(request, options, at),
          rejectRequest: (request: PendingRequest) => this.#rejectRequest(request),
        };
        const request = new PendingRequest(host, backlog, local, remote, segment, now, this.#tcp.requestTimeoutMs);
        backlog.pending++;
        this.#requests.add(request);
        this.#table.add(request, local, remote);
        backlog.handler.onRequest(request);
        return undefined;
      }
    }
    // RFC 9293 §3.10.7.1.
    if ((flags & ACK) !== 0) this.#sendReset(local, remote, segment.ack, 0, RST);
    else {
      const length = segment.payloadLength + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
      this.#sendReset(local, remote, 0, (segment.seq + length) >>> 0, RST | ACK);
    }
    return "no-socket";
  }

  #acceptRequest(request: PendingRequest, options: TcpOptions, now: Instant): TcpConnection | undefined {
    this.#now = now;
    this.#endRequest(request);
    const connection = this.#addConnection(request.local, request.remote, options, request, now);
    connection.backlog = request.backlog;
    return connection;
  }

  #rejectRequest(request: PendingRequest): void {
    this.#endRequest(request);
    request.backlog.pending--;
    this.#sendReset(request.local, request.remote, 0, (request.irs + 1) >>> 0, RST | ACK);
  }

  #endRequest(request: PendingRequest): void {
    request.decided = true;
    this.#requests.delete(request);
    this.#table.delete(request, request.local, request.remote);
  }

  #addConnection(
    local: AddrPort,
    remote: AddrPort,
    options: TcpOptions,
    passive: PassiveOpen | undefined,
    now: Instant,
  ): TcpConnection {
    const connection = new TcpConnection(
      this.#host,
      local,
      remote,
      this.#identify(local, remote, now),
      options,
      passive,
      now,
    );
    this.#table.add(connection, local, remote);
    this.#heap.update(connection);
    return connection;
  }

  /** RFC 6528 §3: a clock of 4 µs plus a secret function of the four-tuple; timestamps start likewise (RFC 7323 §5.4). */
  #identify(local: AddrPort, remote: AddrPort, now: Instant): { iss: number; tsOffset: number } {
    const tuple = new Uint8Array(4 + local.address.length + remote.address.length);
    tuple.set([local.port >> 8, local.port & 255, remote.port >> 8, remote.port & 255]);
    tuple.set(local.address, 4);
    tuple.set(remote.address, 4 + local.address.length);
    const [low, high] = this.#isnHash.hash(tuple);
    const clock = Math.floor(now * 250) % 0x100000000;
    return { iss: (low + clock) >>> 0, tsOffset: high };
  }

  #sendReset(local: AddrPort, remote: AddrPort, seq: number, ack: number, flags: number): void {
    const { memory } = this.#output;
    const offset = this.#output.begin();
    if (offset < 0) {
      this.#drop("no-slot");
      return;
    }
    const header = emitIpHeader(
      memory,
      offset,
      local.address,
      remote.address,
      PROTOCOL_TCP,
      TCP_HEADER_BYTES,
      this.#checksum,
    );
    const ports = local.port * 0x10000 + remote.port;
    emitTcp(memory, offset + header, ports, seq, ack, TCP_HEADER_BYTES, flags, 0);
    const sum = transportChecksum(memory, offset, header, PROTOCOL_TCP, TCP_HEADER_BYTES, this.#checksum);
    memory.view.setUint16(offset + header + 16, sum);
    this.#output.commit(header + TCP_HEADER_BYTES);
  }

  #handleUdp(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    const header = this.#udpHeader;
    const reason = parseUdp(memory, packet.payloadOffset, packet.payloadLength, header);
    if (reason !== undefined) return reason;
    if (!header.hasChecksum ? packet.version === 6 : !this.#udpSumIsRight(memory, packet, header))
      return "bad-checksum";
    const local = { address: this.#ownAddressAt(memory, packet), port: header.destinationPort };
    const remote = { address: addressAt(memory, packet.sourceOffset, packet.addressLength), port: header.sourcePort };
    const payload = memory.bytes.subarray(header.payloadOffset, header.payloadOffset + header.payloadLength);
    const socket = select(this.#udpSockets.get(local.port), local.address);
    if (socket !== undefined) {
      socket.handler.onDatagram(payload, remote, local, now);
      return undefined;
    }
    if (this.#udpFallback?.onDatagram({ local, remote, payload }) === true) return undefined;
    this.#icmp.sendPortUnreachable(memory, packet, now);
    return "no-socket";
  }

  /** Bytes after the UDP length are not part of the datagram. */
  #udpSumIsRight(memory: PacketMemory, packet: IpPacket, header: UdpHeader): boolean {
    packet.payloadLength = UDP_HEADER_BYTES + header.payloadLength;
    return transportSum(memory, packet, this.#checksum) === 0xffff;
  }

  #handleTsmp(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    if (packet.payloadLength < 1) return "too-short";
    const at = packet.payloadOffset;
    const kind = memory.bytes[at]!;
    if (kind === TSMP_PING) {
      if (packet.payloadLength < TSMP_PING_BYTES) return "too-short";
      const source = addressAt(memory, packet.sourceOffset, packet.addressLength);
      const data = memory.bytes.subarray(at + 1, at + TSMP_PING_BYTES);
      const own = this.#ownAddressAt(memory, packet);
      return this.#sendTsmp(own, source, TSMP_PONG, data, TSMP_PONG_BYTES) ? undefined : "no-slot";
    }
    if (kind === TSMP_PONG) {
      if (packet.payloadLength < TSMP_PING_BYTES) return "too-short";
      const source = addressAt(memory, packet.sourceOffset, packet.addressLength);
      const data = memory.bytes.subarray(at + 1, at + TSMP_PING_BYTES);
      return this.#pinger.handleReply("tsmp", source, data, now) ? undefined : "no-socket";
    }
    return "unknown-type";
  }

  #sendTsmp(source: IpAddress, destination: IpAddress, kind: number, data: Uint8Array, length: number): boolean {
    const { memory } = this.#output;
    const offset = this.#output.begin();
    if (offset < 0) return false;
    const header = emitIpHeader(memory, offset, source, destination, PROTOCOL_TSMP, length, this.#checksum);
    const at = offset + header;
    memory.bytes.fill(0, at, at + length);
    memory.bytes[at] = kind;
    memory.bytes.set(data, at + 1);
    this.#output.commit(header + length);
    return true;
  }

  #onIcmpError(memory: PacketMemory, error: IcmpError, now: Instant): void {
    if (!this.#isOwn(memory, error.localOffset, error.addressLength)) {
      this.#drop("not-for-us");
      return;
    }
    const { view } = memory;
    const localPort = view.getUint16(error.transportOffset);
    const remotePort = view.getUint16(error.transportOffset + 2);
    const remote = addressAt(memory, error.remoteOffset, error.addressLength);
    if (error.protocol === PROTOCOL_TCP) {
      const { localOffset, remoteOffset, addressLength } = error;
      const found = this.#table.find(memory, localOffset, remoteOffset, addressLength, localPort, remotePort);
      const seq = view.getUint32(error.transportOffset + 4);
      // Somebody who cannot see our packets cannot name a number in flight (RFC 5927 §4).
      if (!(found instanceof TcpConnection) || !found.isOutstanding(seq)) {
        this.#drop("out-of-window");
        return;
      }
      if (error.kind === "unreachable") {
        const code = error.portUnreachable ? "ERR_CONNECTION_REFUSED" : "ERR_HOST_UNREACHABLE";
        found.unreachable(seq, new EngineError(code, "the network says the peer cannot be reached"));
      } else if (error.mtu < this.#pathMtu(found.remote)) {
        this.#pathMtus.set(remote, error.mtu, now);
        found.mtuChanged(error.mtu, true, now);
        this.#heap.update(found);
      }
      return;
    }
    if (error.protocol !== PROTOCOL_UDP) return;
    const local = addressAt(memory, error.localOffset, error.addressLength);
    const socket = select(this.#udpSockets.get(localPort), local);
    if (error.kind === "unreachable") {
      const to = { address: remote, port: remotePort };
      if (socket !== undefined) socket.handler.onUnreachable?.(to);
      // Many peers are behind a fallback: none may speak for another.
      else if (matches(remote, memory, error.sourceOffset, error.addressLength))
        this.#udpFallback?.onUnreachable?.({ address: local, port: localPort }, to);
    } else if (socket !== undefined || this.#udpFallback !== undefined) {
      if (error.mtu < this.#mtu) this.#pathMtus.set(remote, error.mtu, now);
    }
  }

  #deliverEvents(): void {
    while (this.#eventfulHead < this.#eventful.length) {
      const connection = this.#eventful[this.#eventfulHead++]!;
      connection.queuedEvents = false;
      connection.deliverEvents();
    }
    this.#eventful.length = this.#eventfulHead = 0;
  }

  #markReady(connection: TcpConnection): void {
    if (connection.queuedReady) return;
    connection.queuedReady = true;
    this.#ready.push(connection);
    // Under steady load the queue never empties; drop what was taken from its front.
    if (this.#readyHead >= 1024 && 2 * this.#readyHead > this.#ready.length) {
      this.#ready.splice(0, this.#readyHead);
      this.#readyHead = 0;
    }
  }

  #makeHost(config: NetstackConfig): TcpHost {
    const unread = new SegmentTally();
    return {
      output: config.output,
      checksum: config.checksum,
      tcp: this.#tcp,
      chunks: new ChunkPool(POOLED_CHUNKS),
      receiveMtu: this.#receiveMtu,
      pathMtu: (remote) => this.#pathMtu(remote),
      tallyOf: (remote) => config.tallyOf?.(remote.address) ?? unread,
      markReady: (connection) => this.#markReady(connection),
      markEvents: (connection) => {
        if (connection.queuedEvents) return;
        connection.queuedEvents = true;
        this.#eventful.push(connection);
      },
      mayChallenge: (now) => this.#challenges.take(now),
      handshakeOver: (connection) => {
        connection.handshakePending = false;
        if (connection.backlog !== undefined) connection.backlog.pending--;
        connection.backlog = undefined;
      },
      timeWait: (connection) => {
        this.#timeWaits.add(connection);
        if (this.#timeWaits.size <= this.#tcp.maxTimeWait) return;
        for (const oldest of this.#timeWaits) {
          oldest.forget();
          break;
        }
      },
      removed: (connection) => {
        this.#timeWaits.delete(connection);
        this.#heap.remove(connection);
        this.#table.delete(connection, connection.local, connection.remote);
        this.#host.chunks.clear();
      },
    };
  }

  #forEachConnection(visit: (connection: TcpConnection) => void): void {
    this.#table.forEach((value) => {
      if (value instanceof TcpConnection) visit(value);
    });
  }

  #pathMtu(remote: AddrPort): number {
    const mtu = Math.min(this.#mtu, this.#routeMtu(remote.address));
    return Math.min(mtu, this.#pathMtus.get(remote.address, this.#now) ?? mtu);
  }

  #backlogFor(local: AddrPort): Backlog | undefined {
    return select(this.#listeners.get(local.port), local.address)?.backlog ?? this.#tcpFallback;
  }

  #freeUdpPort(): number {
    const start = this.#random.uint32();
    for (let i = 0; i < EPHEMERAL_COUNT; i++) {
      const port = EPHEMERAL_FIRST + ((start + i) % EPHEMERAL_COUNT);
      if (!this.#udpSockets.has(port)) return port;
    }
    throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no free UDP port", { retryable: true });
  }

  #ownAddressFor(remote: IpAddress): IpAddress | undefined {
    return this.#addresses.find((address) => address.length === remote.length);
  }

  #ownAddressAt(memory: PacketMemory, packet: IpPacket): IpAddress {
    for (const address of this.#addresses)
      if (matches(address, memory, packet.destinationOffset, packet.addressLength)) return address;
    return addressAt(memory, packet.destinationOffset, packet.addressLength);
  }

  #isOwn(memory: PacketMemory, offset: number, length: number): boolean {
    for (const address of this.#addresses) if (matches(address, memory, offset, length)) return true;
    return false;
  }

  #drop(reason: DropReason): void {
    this.drops.count(reason);
    if (logs(this.#logger, "trace")) this.#logger.log("trace", "netstack dropped", { reason });
  }
}

function matches(address: IpAddress, memory: PacketMemory, offset: number, length: number): boolean {
  if (address.length !== length) return false;
  for (let i = 0; i < length; i++) if (address[i] !== memory.bytes[offset + i]) return false;
  return true;
}

/** A source nobody could answer: unspecified, multicast, broadcast. */
function isUnicast(memory: PacketMemory, packet: IpPacket): boolean {
  const { bytes } = memory;
  const at = packet.sourceOffset;
  if (packet.version === 4) return bytes[at] !== 0 && bytes[at]! < 224;
  if (bytes[at] === 0xff) return false;
  for (let i = 0; i < 16; i++) if (bytes[at + i] !== 0) return true;
  return false;
}

/** The one bound to exactly this address, or to any. */
function select<T extends { readonly address: IpAddress | undefined }>(
  bound: readonly T[] | undefined,
  address: IpAddress,
): T | undefined {
  if (bound === undefined) return undefined;
  let any: T | undefined;
  for (const candidate of bound) {
    if (candidate.address === undefined) any = candidate;
    else if (ipEqual(candidate.address, address)) return candidate;
  }
  return any;
}

/** Whether two bindings of one port exclude each other. One to any address and one to a certain address do not. */
function overlaps(a: IpAddress | undefined, b: IpAddress | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return ipEqual(a, b);
}

function removeFrom<T>(bound: Map<number, T[]>, port: number, value: T): void {
  const rest = (bound.get(port) ?? []).filter((other) => other !== value);
  if (rest.length === 0) bound.delete(port);
  else bound.set(port, rest);
}
