import { EngineError } from "../../base/errors.ts";
import { type Instant, instant } from "../../base/instant.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { PacketMemory } from "../../base/ports.ts";
import { TokenBucket } from "../../base/token-bucket.ts";
import { ACK, FIN, RST, SYN, type TcpSegment } from "../wire/tcp.ts";
import type { OpenCount, PassiveOpen, TcpHandler, TcpHost, TcpInfo, TcpState } from "./contract.ts";
import { Housekeeping } from "./housekeeping.ts";
import { tcpInfo } from "./info.ts";
import { Keepalive } from "./keepalive.ts";
import { Negotiation } from "./negotiation.ts";
import type { TcpOptions } from "./options.ts";
import {
  EVENT_CLOSED,
  EVENT_CONNECTED,
  EVENT_END,
  EVENT_READABLE,
  EVENT_WRITABLE,
  PendingEvents,
} from "./pending-events.ts";
import { Receiver } from "./receiver.ts";
import { SegmentSize } from "./segment-size.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { SendBuffer } from "./send-buffer.ts";
import { SendLimit } from "./send-limit.ts";
import { Sender } from "./sender.ts";
import { positionOf } from "./seq.ts";
import { afterEnd, afterFinAcknowledged, afterPeerFin, mayWriteIn } from "./states.ts";
import {
  DELAYED_ACK,
  HOUSEKEEPING,
  KEEPALIVE,
  LIFETIME,
  PERSIST,
  REORDER,
  RETRANSMIT,
  TAIL_PROBE,
  TcpTimers,
} from "./timers.ts";
import { Transmitter } from "./transmitter.ts";

export type { PassiveOpen, TcpHandler, TcpHost, TcpInfo, TcpState } from "./contract.ts";
export type { TcpOptions } from "./options.ts";

/** Answers to segments without payload outside the window: enough for every probe, not enough for an ACK war. */
const OUT_OF_WINDOW_ACK_BURST = 10;
const OUT_OF_WINDOW_ACKS_PER_SECOND = 10;

/**
 * One TCP connection. Segments and timer ticks go in; transmit() writes segments into the stack's output one at a time;
 * deliverEvents() calls the handler. Sequence arithmetic is in positions (see seq.ts). The user calls (read, write, end,
 * abort) only change state: packets leave in the stack's next flush().
 */
export class TcpConnection {
  handler: TcpHandler = {};
  readonly local: AddrPort;
  readonly remote: AddrPort;
  readonly #host: TcpHost<TcpConnection>;
  readonly #timers = new TcpTimers();
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #writer: SegmentWriter;
  readonly #negotiation: Negotiation;
  readonly #keepalive: Keepalive;
  readonly #transmitter: Transmitter;
  readonly #size: SegmentSize;
  readonly #housekeeping: Housekeeping;
  readonly #sendLimit: SendLimit;
  readonly #events = new PendingEvents();
  /** Whether we opened. */
  readonly active: boolean;

  #state: TcpState;
  #lastDataAt: Instant = instant(Number.NEGATIVE_INFINITY);
  readonly #outOfWindowAcks = new TokenBucket(OUT_OF_WINDOW_ACKS_PER_SECOND, OUT_OF_WINDOW_ACK_BURST);

  // Bookkeeping of the stack: the lists that the connection is on.
  /** @internal */
  queuedReady = false;
  /** @internal */
  queuedEvents = false;
  /** @internal */
  heapIndex = -1;
  /** @internal */
  heapAt = Number.POSITIVE_INFINITY;
  /** @internal */
  handshakePending = true;
  /** The listener's count, until the handshake is over. @internal */
  backlog: OpenCount | undefined = undefined;

  /** Only the stack creates connections. @internal */
  constructor(
    host: TcpHost<TcpConnection>,
    local: AddrPort,
    remote: AddrPort,
    identity: { readonly iss: number; readonly tsOffset: number },
    options: TcpOptions,
    passive: PassiveOpen | undefined,
    now: Instant,
  ) {
    const { tcp } = host;
    this.#host = host;
    this.local = local;
    this.remote = remote;
    this.active = passive === undefined;
    this.#negotiation = new Negotiation(tcp, passive, identity.tsOffset);
    this.#keepalive = new Keepalive(
      this.#timers,
      options.keepaliveIdleMs ?? tcp.keepaliveIdleMs,
      options.keepaliveIntervalMs ?? tcp.keepaliveIntervalMs,
      options.keepaliveCount ?? tcp.keepaliveCount,
      now,
    );
    this.#sendLimit = new SendLimit(tcp.initialSendBufferBytes, options.maxSendBufferBytes ?? tcp.maxSendBufferBytes);
    this.#receiver = new Receiver(
      tcp.initialReceiveBufferBytes,
      Math.max(options.maxReceiveBufferBytes ?? tcp.maxReceiveBufferBytes, 1),
      host.chunks,
    );
    const tally = host.tallyOf(this.remote);
    this.#sender = new Sender(identity.iss, 1, new SendBuffer(host.chunks), this.#timers, tcp, tally, {
      nagle: options.noDelay === false,
      userTimeoutMs: options.userTimeoutMs ?? tcp.userTimeoutMs,
    });
    this.#writer = new SegmentWriter(host, local, remote, this.#sender, this.#receiver, this.#negotiation);
    this.#transmitter = new Transmitter(this.#writer, this.#sender, this.#receiver, this.#keepalive, this.#timers);
    this.#size = new SegmentSize({
      pathMtu: host,
      remote,
      ipHeaderBytes: this.#writer.ipHeaderBytes,
      sender: this.#sender,
      negotiation: this.#negotiation,
    });
    this.#housekeeping = new Housekeeping(this.#timers, this.#receiver, host.chunks, this.#size);
    if (passive === undefined) {
      this.#state = "SYN_SENT";
    } else {
      this.#state = "SYN_RECEIVED";
      this.#receiver.synchronize(passive.irs);
      this.#sender.startWindow(passive.window, 0);
      if (passive.mss >= 0) this.#size.peerMss = passive.mss;
      this.#negotiate(passive.windowScale, passive.tsValue, now);
    }
    this.#size.apply();
    this.#sender.controller.reset(now);
    this.#timers.set(LIFETIME, now + (options.connectTimeoutMs ?? tcp.connectTimeoutMs));
    host.markReady(this);
  }

  get state(): TcpState {
    return this.#state;
  }
  /** Whether anything can still be read from or written to the peer. */
  get open(): boolean {
    return this.#state !== "CLOSED" && this.#state !== "TIME_WAIT";
  }
  get readableLength(): number {
    return this.#receiver.reassembly.readableLength;
  }
  /** Bytes that write() would accept now. */
  get writableLength(): number {
    if (!this.#mayWrite()) return 0;
    return Math.max(0, this.#sendLimit.bytes - this.#sender.buffer.length);
  }
  get info(): TcpInfo {
    return tcpInfo(this.#state, this.#sender, this.#receiver, this.#sendLimit.bytes);
  }

  /**
   * The next in-order bytes, at most 64 KiB, removed from the receive buffer; owned by the caller. Undefined when there
   * are none now. Return chunks that are no longer needed with {@link giveBack}, or leave them to the collector.
   */
  read(): Uint8Array | undefined {
    const receiver = this.#receiver;
    const transmitter = this.#transmitter;
    const chunk = receiver.reassembly.read();
    if (chunk === undefined) return undefined;
    if (this.open && !transmitter.windowUpdatePending && receiver.windowUpdateDue()) {
      transmitter.windowUpdatePending = true;
      this.#host.markReady(this);
    }
    if (receiver.finished && receiver.reassembly.readableLength === 0) this.#raise(EVENT_END);
    return chunk;
  }

  /** Returns a chunk obtained from read(); return chunks in read order and do not use them afterwards. */
  giveBack(chunk: Uint8Array): void {
    this.#host.chunks.giveBack(chunk);
  }

  /** Copies into the send buffer. @returns accepted bytes, 0 … length; if fewer than length, onWritable follows. */
  write(bytes: Uint8Array): number {
    const room = this.writableLength;
    const taken = Math.min(room, bytes.length);
    if (taken < bytes.length) this.#sendLimit.isAwaited = true;
    if (taken === 0) return 0;
    this.#sender.buffer.write(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    if (this.#sender.synchronized) this.#host.markReady(this);
    return taken;
  }

  /** Half close, after all written data was sent. Reading continues. */
  end(): void {
    if (!this.#mayWrite()) return;
    this.#sender.finPosition = this.#sender.buffer.end;
    this.#sendLimit.isAwaited = false;
    this.#state = afterEnd(this.#state); // in the SYN states the FIN follows the handshake; see #established
    this.#host.markReady(this);
  }

  /** Drops everything and sends RST. */
  abort(): void {
    if (this.#state === "CLOSED") return;
    this.#fail(new EngineError("ERR_ABORTED", "connection aborted"), this.#state !== "TIME_WAIT");
  }

  // What follows is called by the stack.

  /** One segment for this connection; header and checksum are verified. @internal */
  handleSegment(segment: TcpSegment, memory: PacketMemory, now: Instant): void {
    if (this.#state === "CLOSED") return;
    if (this.#state === "SYN_SENT") this.#handleSynSent(segment, now);
    else this.#handleSynchronized(segment, memory, now);
    this.#host.markReady(this);
  }

  /** @internal */
  handleTimeout(now: Instant): void {
    for (;;) {
      const timer = this.#timers.takeExpired(now);
      if (timer < 0) break;
      this.#expire(timer, now);
    }
    if (this.#state !== "CLOSED") this.#host.markReady(this);
  }

  /** @internal */
  nextTimeout(): Instant {
    return this.#timers.next();
  }

  /** Writes at most one packet into the output. @internal */
  transmit(now: Instant): number {
    return this.#transmitter.transmit(this.#state, now);
  }

  /** @internal */
  deliverEvents(): void {
    this.#events.deliver(this, this.#receiver);
  }

  /**
   * Retransmits at once instead of waiting for a backed-off timer. On another path it also repeats the last ACK: the
   * peer may have used up its window, and the ACKs for that took the old path.
   * @internal
   */
  retransmitNow(now: Instant, pathChanged = false): void {
    if (this.#state === "CLOSED" || this.#state === "TIME_WAIT") return;
    this.#sender.retransmitNow(now, pathChanged);
    if (pathChanged) {
      this.#sender.tally = this.#host.tallyOf(this.remote); // the peer may have been added again
      this.#size.retry();
      if (this.#state !== "SYN_SENT" && this.#state !== "SYN_RECEIVED") this.#receiver.ackNow = true;
    }
    this.#host.markReady(this);
  }

  /** Segments take another path from now on, without loss: {@link Sender.moved}. @internal */
  moved(now: Instant): void {
    if (this.#state === "CLOSED" || this.#state === "TIME_WAIT") return;
    this.#sender.moved(now);
    this.#host.markReady(this);
  }

  /** The path carries a different packet size. `reported`: by a packet-too-big message about one of ours. @internal */
  mtuChanged(mtu: number, reported: boolean, now: Instant): void {
    if (this.#state === "CLOSED" || this.#state === "TIME_WAIT") return;
    this.#size.pathChanged(mtu, reported, now);
    this.#housekeeping.schedule();
    this.#host.markReady(this);
  }

  /** An ICMP error about one of our packets (RFC 5461: fatal only before the connection exists). @internal */
  unreachable(seq: number, error: EngineError): void {
    if (this.#state !== "SYN_SENT" || !this.isOutstanding(seq)) return;
    this.#fail(error, false);
  }

  /** Whether a sequence number quoted in an ICMP error belongs to something in flight (RFC 5927 §4.1). @internal */
  isOutstanding(seq: number): boolean {
    const position = positionOf(this.#sender.iss, seq, this.#sender.una);
    return position >= this.#sender.una && position < this.#sender.next;
  }

  /** RFC 6191 and RFC 9293 §3.10.7.4: whether a SYN may take over this TIME-WAIT connection. @internal */
  yieldsTo(segment: TcpSegment): boolean {
    if (this.#state !== "TIME_WAIT") return false;
    const receiver = this.#receiver;
    if (receiver.timestamps && segment.hasTimestamps) return ((segment.tsValue - receiver.tsRecent) | 0) > 0;
    return positionOf(receiver.irs, segment.seq, receiver.next) > receiver.next;
  }

  /** Ends TIME-WAIT early, or a connection whose stack has no room. @internal */
  forget(): void {
    if (this.#state === "CLOSED") return;
    this.#state = "CLOSED";
    this.#timers.clearAll();
    this.#host.removed(this);
  }

  #handleSynSent(segment: TcpSegment, now: Instant): void {
    const sender = this.#sender;
    const receiver = this.#receiver;
    const { flags } = segment;
    const acked = (flags & ACK) !== 0;
    if (acked && positionOf(sender.iss, segment.ack, 0) !== 1) {
      if ((flags & RST) === 0) this.#writer.reset(segment.ack);
      return;
    }
    if ((flags & RST) !== 0) {
      if (acked) this.#fail(new EngineError("ERR_CONNECTION_REFUSED", "peer refused the connection"), false);
      return;
    }
    if ((flags & SYN) === 0) return;
    receiver.synchronize(segment.seq);
    if (segment.mss >= 0) this.#size.peerMss = segment.mss;
    this.#negotiation.answered(segment);
    this.#negotiate(segment.windowScale, segment.tsValue, now);
    sender.startWindow(segment.window, 0);
    this.#size.apply();
    sender.controller.reset(now);
    if (acked) {
      sender.handleAck(segment, 1, 0, this.#negotiation.echoedAt(segment, now), now);
      // The SYN's window is never scaled (RFC 7323 §2.2).
      sender.startWindow(segment.window, 0);
      this.#established(now);
      receiver.ackNow = true;
    } else {
      // Simultaneous open: our SYN becomes a SYN-ACK.
      this.#state = "SYN_RECEIVED";
      sender.retransmitNow(now, false);
    }
  }

  #handleSynchronized(segment: TcpSegment, memory: PacketMemory, now: Instant): void {
    const receiver = this.#receiver;
    const { flags } = segment;
    const position = positionOf(receiver.irs, segment.seq, receiver.next);
    if (receiver.timestamps && (flags & RST) === 0) {
      if (!segment.hasTimestamps) return; // RFC 7323 §3.2
      if (receiver.failsPaws(segment.tsValue, now)) {
        this.#answerOutOfWindow(segment, now);
        return;
      }
    }
    const length = segment.payloadLength + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    if (!receiver.accepts(position, length)) {
      if ((flags & RST) !== 0) return;
      if (segment.payloadLength > 0 && position + length <= receiver.next && (flags & SYN) === 0)
        receiver.receive(memory.bytes, segment.payloadOffset, segment.payloadLength, position, now);
      this.#answerOutOfWindow(segment, now);
      return;
    }
    if ((flags & RST) !== 0) {
      this.#handleReset(position, now);
      return;
    }
    if ((flags & SYN) !== 0) {
      this.#challenge(now);
      return;
    }
    if ((flags & ACK) === 0) return;
    this.#keepalive.heard(now);
    if (receiver.timestamps) receiver.noteTimestamp(segment.tsValue, position, now);
    if (!this.#handleAck(segment, position, now)) return;
    if (segment.payloadLength > 0 || (flags & FIN) !== 0) this.#handlePayload(segment, memory, position, now);
    if (receiver.ackNow) this.#timers.clear(DELAYED_ACK);
    else if (receiver.ackOwed && !this.#timers.armed(DELAYED_ACK))
      this.#timers.set(DELAYED_ACK, now + this.#host.tcp.delayedAckMs);
  }

  /** RFC 5961 §3: only the exact next sequence number resets; anything else in the window is challenged. */
  #handleReset(position: number, now: Instant): void {
    if (this.#state === "TIME_WAIT") return; // RFC 1337
    if (position !== this.#receiver.next) {
      this.#challenge(now);
      return;
    }
    // Both sides have ended and all data arrived: the peer forgot us before the last ACK reached it.
    const over =
      this.#receiver.finished && this.#sender.finPosition >= 0 && this.#sender.una >= this.#sender.finPosition;
    if (over) {
      this.#close();
      return;
    }
    const refused = this.#state === "SYN_RECEIVED";
    this.#fail(
      refused
        ? new EngineError("ERR_CONNECTION_REFUSED", "peer refused the connection")
        : new EngineError("ERR_CONNECTION_RESET", "connection reset by peer"),
      false,
    );
  }

  /** @returns whether the rest of the segment should be processed. */
  #handleAck(segment: TcpSegment, position: number, now: Instant): boolean {
    const sender = this.#sender;
    const ack = positionOf(sender.iss, segment.ack, sender.una);
    if (this.#state === "SYN_RECEIVED") {
      if (ack !== 1 || sender.next < 1) {
        this.#writer.reset(segment.ack);
        return false;
      }
    } else if (ack > sender.next || ack < sender.una - sender.maxWindow) {
      this.#challenge(now); // RFC 5961 §5
      return false;
    }
    sender.handleAck(segment, ack, position, this.#negotiation.echoedAt(segment, now), now);
    if (this.#state === "SYN_RECEIVED") this.#established(now);
    if (sender.board.delivered > 0) {
      this.#sendLimit.grow(sender.controller.cwnd);
      this.#size.onProgress();
    }
    if (this.#sendLimit.isAwaited && this.writableLength >= this.#sendLimit.bytes / 3) {
      this.#sendLimit.isAwaited = false;
      this.#raise(EVENT_WRITABLE);
    }
    if (sender.finAcknowledged) this.#moveTo(afterFinAcknowledged(this.#state), now);
    return this.#state !== "CLOSED";
  }

  #handlePayload(segment: TcpSegment, memory: PacketMemory, position: number, now: Instant): void {
    const receiver = this.#receiver;
    const end = position + segment.payloadLength;
    const finBefore = receiver.finished;
    if ((segment.flags & FIN) !== 0 && receiver.finPosition < 0 && end >= receiver.next) receiver.finPosition = end;
    let askedForAck = false;
    if (segment.payloadLength > 0) {
      const readable = receiver.reassembly.readableLength;
      if (receiver.next < end && now - this.#lastDataAt > 1000) receiver.restartQuickAcks();
      this.#lastDataAt = now;
      askedForAck = receiver.receive(memory.bytes, segment.payloadOffset, segment.payloadLength, position, now);
      if (receiver.reassembly.readableLength > readable) this.#raise(EVENT_READABLE);
      const ageMs = segment.payloadLength >= this.#sender.mss / 2 ? this.#negotiation.echoAgeMs(segment, now) : -1;
      receiver.tune(ageMs, this.#sender.rtt, now);
      this.#housekeeping.dataArrived(now);
    }
    if (receiver.takeFin()) {
      receiver.ackNow = true;
      this.#moveTo(afterPeerFin(this.#state), now);
      this.#raise(EVENT_END);
    } else if (finBefore) {
      receiver.ackNow = true;
      if (this.#state === "TIME_WAIT") this.#timers.set(LIFETIME, now + this.#host.tcp.timeWaitMs);
    }
    if (askedForAck) {
      // Out of order: the sender counts these, so each gets its own acknowledgment (RFC 5681 §4.2). Without a slot it
      // is sent at the next flush.
      receiver.ackNow = true;
      this.#transmitter.acknowledge(now);
    }
  }

  #established(now: Instant): void {
    const sender = this.#sender;
    sender.synchronized = true;
    this.#state = sender.finPosition >= 0 ? "FIN_WAIT_1" : "ESTABLISHED";
    this.#timers.clear(LIFETIME);
    this.#keepalive.start(now);
    this.#host.handshakeOver(this);
    this.#raise(EVENT_CONNECTED);
  }

  /** One direction ended. */
  #moveTo(state: TcpState, now: Instant): void {
    if (state === this.#state) return;
    if (state === "TIME_WAIT") this.#enterTimeWait(now);
    else if (state === "CLOSED") this.#close();
    else this.#state = state;
  }

  #enterTimeWait(now: Instant): void {
    this.#state = "TIME_WAIT";
    this.#timers.clearAll();
    this.#timers.set(LIFETIME, now + this.#host.tcp.timeWaitMs);
    this.#sender.buffer.clear();
    this.#sender.board.clear();
    this.#host.timeWait(this);
    this.#raise(EVENT_CLOSED);
  }

  #close(): void {
    this.#state = "CLOSED";
    this.#timers.clearAll();
    this.#sender.buffer.clear();
    this.#sender.board.clear();
    this.#host.removed(this);
    this.#raise(EVENT_CLOSED);
  }

  #fail(error: EngineError, withReset: boolean): void {
    if (this.#state !== "TIME_WAIT") this.#events.error = error;
    if (withReset && this.#state !== "SYN_SENT") {
      this.#transmitter.resetPending = true;
      this.#host.markReady(this);
    }
    if (this.handshakePending) this.#host.handshakeOver(this);
    this.#close();
  }

  #expire(timer: number, now: Instant): void {
    const sender = this.#sender;
    switch (timer) {
      case REORDER:
        sender.onReorderTimeout(now);
        return;
      case TAIL_PROBE:
        sender.onTailProbeTimeout(now);
        return;
      case RETRANSMIT:
        if (!sender.onRetransmitTimeout(now)) {
          this.#timedOut();
          return;
        }
        this.#size.onTimeout(now);
        this.#housekeeping.schedule();
        return;
      case PERSIST:
        if (!sender.onPersistTimeout(now)) this.#timedOut();
        return;
      case DELAYED_ACK:
        if (this.#receiver.ackOwed) this.#receiver.ackNow = true;
        return;
      case KEEPALIVE:
        if (!this.#keepalive.onTimeout(!sender.board.empty || this.#timers.armed(PERSIST), now)) this.#timedOut();
        return;
      case LIFETIME:
        if (this.#state === "TIME_WAIT") {
          this.forget();
          return;
        }
        this.#fail(
          new EngineError("ERR_CONNECTION_TIMEOUT", "peer did not answer in time", { retryable: true }),
          this.#state === "SYN_RECEIVED",
        );
        return;
      case HOUSEKEEPING:
        this.#housekeeping.onTimeout(now);
        return;
      default:
        return;
    }
  }

  #timedOut(): void {
    this.#fail(new EngineError("ERR_CONNECTION_TIMEOUT", "peer stopped answering", { retryable: true }), true);
  }

  #negotiate(windowScale: number, tsValue: number, now: Instant): void {
    const receiver = this.#receiver;
    const { scaling, sack, timestamps } = this.#negotiation;
    if (scaling) {
      receiver.windowScale = receiver.offeredScale();
      this.#sender.windowScale = windowScale;
    }
    this.#sender.sackPermitted = sack;
    receiver.timestamps = timestamps;
    if (timestamps) receiver.noteTimestamp(tsValue, 0, now);
  }

  #mayWrite(): boolean {
    return this.#sender.finPosition < 0 && mayWriteIn(this.#state);
  }

  #raise(event: number): void {
    this.#events.add(event);
    this.#host.markEvents(this);
  }

  #answerOutOfWindow(segment: TcpSegment, now: Instant): void {
    const receiver = this.#receiver;
    if (this.#state === "SYN_RECEIVED" && (segment.flags & (SYN | ACK)) === SYN) {
      // The peer's SYN again: our SYN-ACK was lost.
      if (this.#outOfWindowAcks.take(now)) this.#sender.retransmitNow(now, false);
      return;
    }
    // Unacceptable segments still show that the peer is alive: a keepalive or probe answered.
    if ((segment.flags & FIN) !== 0 && this.#state === "TIME_WAIT")
      this.#timers.set(LIFETIME, now + this.#host.tcp.timeWaitMs);
    if (segment.payloadLength > 0 || this.#outOfWindowAcks.take(now)) receiver.ackNow = true;
  }

  #challenge(now: Instant): void {
    if (this.#host.mayChallenge(now)) this.#transmitter.challengePending = true;
  }
}
