import { DeadlineHeap } from "../base/deadline-heap.ts";
import { type DropReason, Drops, EngineError } from "../base/errors.ts";
import { earliest, type Instant, instant } from "../base/instant.ts";
import type { AddrPort, IpAddress } from "../base/ip.ts";
import {
  type ChecksumFunction,
  type Logger,
  logs,
  type PacketMemory,
  type RandomSource,
  silentLogger,
} from "../base/ports.ts";
import { SegmentTally } from "../base/segment-tally.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import { ConnectionTable } from "./connection-table.ts";
import { Icmp, type IcmpError } from "./icmp.ts";
import { addressAt, isAt, OwnAddresses } from "./own-addresses.ts";
import type { PacketOutput } from "./packet-output.ts";
import { PathMtuCache } from "./path-mtu.ts";
import { Pinger, type PingKind } from "./pinger.ts";
import { checkPort, ephemeralPort } from "./port-bindings.ts";
import { ReadyQueue } from "./ready-queue.ts";
import { Reassembly } from "./reassembly.ts";
import { ChunkPool } from "./tcp/chunk-pool.ts";
import { type PassiveOpen, TcpConnection, type TcpHost } from "./tcp/connection.ts";
import { InitialNumbers } from "./tcp/initial-numbers.ts";
import type { PendingRequest, TcpListener, TcpRequestHandler } from "./tcp/listener.ts";
import { TCP_DEFAULTS, type TcpDefaults, type TcpOptions } from "./tcp/options.ts";
import { Resets } from "./tcp/reset.ts";
import { SynBacklog } from "./tcp/syn-backlog.ts";
import { TRANSMIT_IDLE, TRANSMIT_NO_SLOT } from "./tcp/transmitter.ts";
import { Tsmp } from "./tsmp.ts";
import type { UdpHandler, UdpSendQueue, UdpSendResult, UdpSocket } from "./udp.ts";
import { type UdpBinding, type UdpFallback, UdpHost } from "./udp-host.ts";
import { parseIpPacket, transportSum } from "./wire/ip.ts";
import {
  IpPacket,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_TSMP,
  PROTOCOL_UDP,
} from "./wire/ip-packet.ts";
import { ACK, FIN, parseTcp, RST, SYN, TcpSegment } from "./wire/tcp.ts";

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

const DEFAULT_MAX_CONNECTIONS = 16384;
/** Segments a connection may send before the next one's turn. */
const QUANTUM = 4;
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
  readonly #own: OwnAddresses;
  readonly #output: PacketOutput;
  readonly #checksum: ChecksumFunction;
  readonly #random: RandomSource;
  readonly #logger: Logger;
  readonly #tcp: TcpDefaults;
  readonly #maxConnections: number;
  readonly #receiveMtu: number;
  readonly #table: ConnectionTable<TableValue>;
  readonly #heap = new DeadlineHeap<TcpConnection>();
  readonly #synBacklog: SynBacklog;
  readonly #resets: Resets;
  readonly #initialNumbers: InitialNumbers;
  readonly #udp: UdpHost;
  #udpFirst = true;
  /** In TIME-WAIT, oldest first. */
  readonly #timeWaits = new Set<TcpConnection>();
  readonly #pinger = new Pinger();
  readonly #icmp: Icmp;
  readonly #tsmp: Tsmp;
  readonly #pathMtus = new PathMtuCache();
  readonly #reassembly = new Reassembly((reason) => this.#drop(reason));
  readonly #challenges = new TokenBucket(CHALLENGES_PER_SECOND, CHALLENGES_PER_SECOND);
  readonly #host: TcpHost<TcpConnection>;
  readonly #routeMtu: (remote: IpAddress) => number;
  #mtu: number;
  #now: Instant = instant(0);
  readonly #ready = new ReadyQueue<TcpConnection>();
  /** Ready, but the carrier to their peer is full: they wait for the next flush without holding up the others. */
  readonly #blocked: TcpConnection[] = [];
  #eventful: TcpConnection[] = [];
  #eventfulHead = 0;
  readonly #packet = new IpPacket();
  readonly #segment = new TcpSegment();

  /** @internal */
  constructor(config: NetstackConfig) {
    this.#own = new OwnAddresses(config.addresses);
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
    const identification = config.random.uint32();
    this.#initialNumbers = new InitialNumbers(config.random.bytes(16));
    this.#resets = new Resets(config.output, config.checksum);
    this.#synBacklog = this.#makeSynBacklog();
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
    const { output, checksum, random } = config;
    this.#tsmp = new Tsmp({ output, checksum, own: this.#own, pinger: this.#pinger });
    this.#udp = new UdpHost(
      {
        output,
        checksum,
        random,
        own: this.#own,
        icmp: this.#icmp,
        pathMtu: (remote, now) => this.#pathMtu(remote, now),
      },
      identification,
    );
  }

  get mtu(): number {
    return this.#mtu;
  }
  /** Connections, TIME-WAIT included, and undecided requests. */
  get connectionCount(): number {
    return this.#table.size;
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
    for (const connection of this.#blocked) this.#ready.add(connection);
    this.#blocked.length = 0;
    this.#deliverEvents();
    // The second of the two may find no slot, so they take turns at being first.
    let udpToo = this.#udpFirst;
    this.#udpFirst = !this.#udpFirst;
    do {
      if ((udpToo && !this.#udp.drain(now)) || !this.#transmitTcp(now)) return true;
      udpToo = true;
    } while (this.#udp.isWaiting);
    return false;
  }

  /** Returns false when there was no slot. */
  #transmitTcp(now: Instant): boolean {
    for (let connection = this.#ready.take(); connection !== undefined; connection = this.#ready.take()) {
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
        this.#ready.putBack(connection);
        return false;
      }
      this.#ready.add(connection);
    }
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
    this.#synBacklog.handleTimeout(now);
  }

  nextTimeout(exact = false): Instant | undefined {
    return earliest(this.#heap.next(exact), this.#synBacklog.nextTimeout());
  }

  /**
   * The path works again or has changed: every connection with something outstanding sends at once.
   * @param concerns Selects the remote addresses; all by default.
   */
  networkChanged(now: Instant, concerns: (remote: IpAddress) => boolean = () => true): void {
    this.#now = now;
    this.#pathMtus.clear();
    this.#forEachConnection((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.retransmitNow(now, true);
      this.#heap.update(connection);
    });
  }

  /**
   * Packets to these addresses take another path from now on; those in flight are not lost. Connections discover its packet size.
   */
  pathMoved(now: Instant, concerns: (remote: IpAddress) => boolean): void {
    this.#now = now;
    this.#forEachConnection((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.moved(now);
      this.#heap.update(connection);
    });
  }

  /** Aborts every connection to an address for which `concerns` returns true. */
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
    checkPort(remote.port, 1);
    const address = this.#own.towards(remote.address);
    if (address === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no own address of the remote's family");
    if (this.#table.size >= this.#maxConnections)
      throw new EngineError("ERR_LIMIT", `already ${this.#table.size} connections`, { retryable: true });
    const port = ephemeralPort(this.#random.uint32(), (taken) => this.#table.has({ address, port: taken }, remote));
    if (port === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no free port towards this remote", { retryable: true });
    return this.#addConnection({ address, port }, remote, options, undefined, now);
  }

  /** @throws EngineError ERR_ADDRESS_IN_USE, ERR_INVALID_ARGUMENT. */
  listenTcp(
    options: { readonly port: number; readonly address?: IpAddress | undefined; readonly backlog?: number },
    handler: TcpRequestHandler,
  ): TcpListener {
    return this.#synBacklog.listen(options, handler);
  }

  /** Receives the SYNs to ports without a listener; undefined: they are answered with RST. */
  setTcpFallback(handler: TcpRequestHandler | undefined): void {
    this.#synBacklog.setFallback(handler);
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
        return this.#handleTcp(memory, packet, now);
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
      return this.#synBacklog.handleSegment(found, segment);
    }
    return this.#handleStraySegment(memory, packet, segment, now);
  }

  #handleStraySegment(
    memory: PacketMemory,
    packet: IpPacket,
    segment: TcpSegment,
    now: Instant,
  ): DropReason | undefined {
    const { flags } = segment;
    if ((flags & RST) !== 0) return "no-socket";
    const { destinationOffset, sourceOffset, addressLength } = packet;
    const local = { address: this.#own.at(memory, destinationOffset, addressLength), port: segment.destinationPort };
    const remote = { address: addressAt(memory, sourceOffset, addressLength), port: segment.sourcePort };
    if ((flags & (SYN | ACK | FIN)) === SYN) {
      const reason = this.#synBacklog.handleSyn(local, remote, segment, now);
      if (reason !== "no-socket") return reason;
    }
    if (!this.#resets.answer(segment, local, remote)) this.#drop("no-slot");
    return "no-socket";
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
      this.#initialNumbers.of(local, remote, now),
      options,
      passive,
      now,
    );
    this.#table.add(connection, local, remote);
    this.#heap.update(connection);
    return connection;
  }

  #onIcmpError(memory: PacketMemory, error: IcmpError, now: Instant): void {
    if (!this.#own.includes(memory, error.localOffset, error.addressLength)) {
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
      // A sender that cannot see our packets does not know a number in flight (RFC 5927 §4).
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
    const local = { address: addressAt(memory, error.localOffset, error.addressLength), port: localPort };
    if (error.kind === "unreachable") {
      const isFromRemote = isAt(remote, memory, error.sourceOffset, error.addressLength);
      this.#udp.unreachable(local, { address: remote, port: remotePort }, isFromRemote);
    } else if (error.mtu < this.#mtu && this.#udp.isBound(local)) this.#pathMtus.set(remote, error.mtu, now);
  }

  #deliverEvents(): void {
    while (this.#eventfulHead < this.#eventful.length) {
      const connection = this.#eventful[this.#eventfulHead++]!;
      connection.queuedEvents = false;
      connection.deliverEvents();
    }
    this.#eventful.length = this.#eventfulHead = 0;
  }

  #makeHost(config: NetstackConfig): TcpHost<TcpConnection> {
    const unread = new SegmentTally();
    return {
      output: config.output,
      checksum: config.checksum,
      tcp: this.#tcp,
      chunks: new ChunkPool(POOLED_CHUNKS),
      receiveMtu: this.#receiveMtu,
      pathMtu: (remote) => this.#pathMtu(remote),
      tallyOf: (remote) => config.tallyOf?.(remote.address) ?? unread,
      markReady: (connection) => this.#ready.add(connection),
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

  #makeSynBacklog(): SynBacklog {
    return new SynBacklog({
      requestTimeoutMs: this.#tcp.requestTimeoutMs,
      backlog: this.#tcp.backlog,
      isFull: () => this.#table.size >= this.#maxConnections,
      addRequest: (request) => this.#table.add(request, request.local, request.remote),
      removeRequest: (request) => void this.#table.delete(request, request.local, request.remote),
      open: (request, options, now) => {
        this.#now = now;
        return this.#addConnection(request.local, request.remote, options, request, now);
      },
      refuse: ({ irs, local, remote }) => {
        if (!this.#resets.refuse(irs, local, remote)) this.#drop("no-slot");
      },
    });
  }

  #forEachConnection(visit: (connection: TcpConnection) => void): void {
    this.#table.forEach((value) => {
      if (value instanceof TcpConnection) visit(value);
    });
  }

  #pathMtu(remote: AddrPort, now: Instant = this.#now): number {
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
