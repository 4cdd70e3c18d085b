import { DeadlineHeap } from "../base/deadline-heap.ts";
import { type DropReason, EngineError } from "../base/errors.ts";
import { earliest, type Instant, instant } from "../base/instant.ts";
import type { AddrPort, IpAddress } from "../base/ip.ts";
import type { ChecksumFunction, PacketMemory, RandomSource } from "../base/ports.ts";
import { SegmentTally } from "../base/segment-tally.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import { ConnectionTable } from "./connection-table.ts";
import type { IcmpError } from "./icmp.ts";
import { addressAt, type OwnAddresses } from "./own-addresses.ts";
import type { PacketOutput } from "./packet-output.ts";
import { checkPort, ephemeralPort } from "./port-bindings.ts";
import { ReadyQueue } from "./ready-queue.ts";
import { ChunkPool } from "./tcp/chunk-pool.ts";
import { type PassiveOpen, TcpConnection, type TcpHost } from "./tcp/connection.ts";
import { InitialNumbers } from "./tcp/initial-numbers.ts";
import type { PendingRequest, TcpListener, TcpRequestHandler } from "./tcp/listener.ts";
import { TCP_DEFAULTS, type TcpDefaults, type TcpOptions } from "./tcp/options.ts";
import { Resets } from "./tcp/reset.ts";
import { type ListenOptions, SynBacklog } from "./tcp/syn-backlog.ts";
import { TRANSMIT_IDLE, TRANSMIT_NO_SLOT } from "./tcp/transmitter.ts";
import { transportSum } from "./wire/ip.ts";
import type { IpPacket } from "./wire/ip-packet.ts";
import { ACK, FIN, parseTcp, RST, SYN, TcpSegment } from "./wire/tcp.ts";

const DEFAULT_MAX_CONNECTIONS = 16384;
/** Segments a connection may send before the next one's turn. */
const QUANTUM = 4;
/** RFC 5961 §7. */
const CHALLENGES_PER_SECOND = 100;
/** Full chunks of stream buffers kept for reuse while streams run: 16 MB, what one fast stream may need. */
const POOLED_CHUNKS = 256;

type TableValue = TcpConnection | PendingRequest;

export interface TcpSettings {
  readonly defaults: Partial<TcpDefaults> | undefined;
  readonly maxConnections: number | undefined;
  /** Largest IP packet the tunnel can deliver to us. */
  readonly receiveMtu: number;
  readonly tallyOf: ((remote: IpAddress) => SegmentTally | undefined) | undefined;
  /** 32 random bits, for the hash of the connection table. */
  readonly tableSeed: number;
  /** 16 random bytes, for initial sequence numbers (RFC 6528). */
  readonly sequenceSecret: Uint8Array;
}

/** What TCP uses of the stack. */
export interface TcpStack {
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  readonly random: RandomSource;
  readonly own: OwnAddresses;
  /** Largest packet that the path to this address carries. */
  pathMtu(remote: AddrPort, now: Instant): number;
  /** The network reported the largest packet that reaches this address. */
  pathMtuReported(remote: IpAddress, mtu: number, now: Instant): void;
  dropped(reason: DropReason): void;
}

/** TCP of the stack: connections by four-tuple, their deadlines, events and turns, and the listeners. */
export class TcpConnections {
  readonly #stack: TcpStack;
  readonly #defaults: TcpDefaults;
  readonly #maxConnections: number;
  readonly #table: ConnectionTable<TableValue>;
  readonly #heap = new DeadlineHeap<TcpConnection>();
  readonly #synBacklog: SynBacklog;
  readonly #resets: Resets;
  readonly #initialNumbers: InitialNumbers;
  /** In TIME-WAIT, oldest first. */
  readonly #timeWaits = new Set<TcpConnection>();
  readonly #challenges = new TokenBucket(CHALLENGES_PER_SECOND, CHALLENGES_PER_SECOND);
  readonly #host: TcpHost<TcpConnection>;
  #now: Instant = instant(0);
  readonly #ready = new ReadyQueue<TcpConnection>();
  /** Ready, but the carrier to their peer is full: they wait for the next flush without holding up the others. */
  readonly #blocked: TcpConnection[] = [];
  #eventful: TcpConnection[] = [];
  #eventfulHead = 0;
  readonly #segment = new TcpSegment();

  constructor(stack: TcpStack, settings: TcpSettings) {
    this.#stack = stack;
    this.#defaults = { ...TCP_DEFAULTS, ...settings.defaults };
    this.#maxConnections = settings.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
    this.#table = new ConnectionTable(settings.tableSeed);
    this.#initialNumbers = new InitialNumbers(settings.sequenceSecret);
    this.#resets = new Resets(stack.output, stack.checksum);
    this.#synBacklog = this.#makeSynBacklog();
    this.#host = this.#makeHost(settings);
  }

  /** Connections, TIME-WAIT included, and undecided requests. */
  get count(): number {
    return this.#table.size;
  }

  /** The path to these addresses now carries packets of another size. */
  mtuChanged(concerns: (remote: IpAddress) => boolean): void {
    this.#forEach((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.mtuChanged(this.#stack.pathMtu(connection.remote, this.#now), false, this.#now);
    });
  }

  /** The path works again or has changed: connections with something outstanding send at once. */
  networkChanged(now: Instant, concerns: (remote: IpAddress) => boolean): void {
    this.#now = now;
    this.#forEach((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.retransmitNow(now, true);
      this.#heap.update(connection);
    });
  }

  /** Packets take another path from now on; those in flight are not lost. */
  pathMoved(now: Instant, concerns: (remote: IpAddress) => boolean): void {
    this.#now = now;
    this.#forEach((connection) => {
      if (!concerns(connection.remote.address)) return;
      connection.moved(now);
      this.#heap.update(connection);
    });
  }

  abort(concerns: (remote: IpAddress) => boolean): void {
    const meant: TcpConnection[] = [];
    this.#forEach((connection) => {
      if (concerns(connection.remote.address)) meant.push(connection);
    });
    for (const connection of meant) connection.abort();
  }

  /** @throws EngineError ERR_ADDRESS_NOT_AVAILABLE, ERR_LIMIT, ERR_INVALID_ARGUMENT. */
  connect(remote: AddrPort, options: TcpOptions, now: Instant): TcpConnection {
    this.#now = now;
    checkPort(remote.port, 1);
    const address = this.#stack.own.towards(remote.address);
    if (address === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no own address of the remote's family");
    if (this.#table.size >= this.#maxConnections)
      throw new EngineError("ERR_LIMIT", `already ${this.#table.size} connections`, { retryable: true });
    const isTaken = (port: number): boolean => this.#table.has({ address, port }, remote);
    const port = ephemeralPort(this.#stack.random.uint32(), isTaken);
    if (port === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no free port towards this remote", { retryable: true });
    return this.#add({ address, port }, remote, options, undefined, now);
  }

  /** @throws EngineError ERR_ADDRESS_IN_USE, ERR_INVALID_ARGUMENT. */
  listen(options: ListenOptions, handler: TcpRequestHandler): TcpListener {
    return this.#synBacklog.listen(options, handler);
  }

  setFallback(handler: TcpRequestHandler | undefined): void {
    this.#synBacklog.setFallback(handler);
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

  nextTimeout(exact: boolean): Instant | undefined {
    return earliest(this.#heap.next(exact), this.#synBacklog.nextTimeout());
  }

  /** First part of a flush: calls the handlers of connections to which something happened. */
  deliverEvents(now: Instant): void {
    this.#now = now;
    for (const connection of this.#blocked) this.#ready.add(connection);
    this.#blocked.length = 0;
    while (this.#eventfulHead < this.#eventful.length) {
      const connection = this.#eventful[this.#eventfulHead++]!;
      connection.queuedEvents = false;
      connection.deliverEvents();
    }
    this.#eventful.length = this.#eventfulHead = 0;
  }

  /** Second part: connections send, in turns. Returns false when there was no slot. */
  transmit(now: Instant): boolean {
    for (let connection = this.#ready.take(); connection !== undefined; connection = this.#ready.take()) {
      if (this.#stack.output.blocked?.(connection.remote.address) === true) {
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

  /** A packet whose payload is a TCP segment; borrowed. */
  handle(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    this.#now = now;
    if (transportSum(memory, packet, this.#stack.checksum) !== 0xffff) return "bad-checksum";
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

  /** The network reported that it did not deliver a segment to `remote`. */
  handleIcmpError(memory: PacketMemory, error: IcmpError, remote: IpAddress, now: Instant): DropReason | undefined {
    this.#now = now;
    const { view } = memory;
    const { localOffset, remoteOffset, addressLength, transportOffset } = error;
    const localPort = view.getUint16(transportOffset);
    const remotePort = view.getUint16(transportOffset + 2);
    const found = this.#table.find(memory, localOffset, remoteOffset, addressLength, localPort, remotePort);
    const seq = view.getUint32(transportOffset + 4);
    // A sender that cannot see our packets does not know a number in flight (RFC 5927 §4).
    if (!(found instanceof TcpConnection) || !found.isOutstanding(seq)) return "out-of-window";
    if (error.kind === "unreachable") {
      const code = error.portUnreachable ? "ERR_CONNECTION_REFUSED" : "ERR_HOST_UNREACHABLE";
      found.unreachable(seq, new EngineError(code, "the network says the peer cannot be reached"));
    } else if (error.mtu < this.#stack.pathMtu(found.remote, now)) {
      this.#stack.pathMtuReported(remote, error.mtu, now);
      found.mtuChanged(error.mtu, true, now);
      this.#heap.update(found);
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
    const { destinationOffset, sourceOffset, addressLength } = packet;
    const address = this.#stack.own.at(memory, destinationOffset, addressLength);
    const local = { address, port: segment.destinationPort };
    const remote = { address: addressAt(memory, sourceOffset, addressLength), port: segment.sourcePort };
    if ((flags & (SYN | ACK | FIN)) === SYN) {
      const reason = this.#synBacklog.handleSyn(local, remote, segment, now);
      if (reason !== "no-socket") return reason;
    }
    if (!this.#resets.answer(segment, local, remote)) this.#stack.dropped("no-slot");
    return "no-socket";
  }

  #add(
    local: AddrPort,
    remote: AddrPort,
    options: TcpOptions,
    passive: PassiveOpen | undefined,
    now: Instant,
  ): TcpConnection {
    const initialNumber = this.#initialNumbers.of(local, remote, now);
    const connection = new TcpConnection(this.#host, local, remote, initialNumber, options, passive, now);
    this.#table.add(connection, local, remote);
    this.#heap.update(connection);
    return connection;
  }

  #makeHost({ receiveMtu, tallyOf }: TcpSettings): TcpHost<TcpConnection> {
    const unread = new SegmentTally();
    return {
      output: this.#stack.output,
      checksum: this.#stack.checksum,
      tcp: this.#defaults,
      chunks: new ChunkPool(POOLED_CHUNKS),
      receiveMtu,
      pathMtu: (remote) => this.#stack.pathMtu(remote, this.#now),
      tallyOf: (remote) => tallyOf?.(remote.address) ?? unread,
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
        if (this.#timeWaits.size <= this.#defaults.maxTimeWait) return;
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
      requestTimeoutMs: this.#defaults.requestTimeoutMs,
      backlog: this.#defaults.backlog,
      isFull: () => this.#table.size >= this.#maxConnections,
      addRequest: (request) => this.#table.add(request, request.local, request.remote),
      removeRequest: (request) => void this.#table.delete(request, request.local, request.remote),
      open: (request, options, now) => {
        this.#now = now;
        return this.#add(request.local, request.remote, options, request, now);
      },
      refuse: ({ irs, local, remote }) => {
        if (!this.#resets.refuse(irs, local, remote)) this.#stack.dropped("no-slot");
      },
    });
  }

  #forEach(visit: (connection: TcpConnection) => void): void {
    this.#table.forEach((value) => {
      if (value instanceof TcpConnection) visit(value);
    });
  }
}
