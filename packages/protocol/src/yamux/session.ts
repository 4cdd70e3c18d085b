/**
 * A yamux session (hashicorp/yamux spec) over one byte stream, as a state machine.
 *
 * The shell's part: received bytes go to handleBytes; after that, after handleTimeout and after every onOutput, take
 * the output until there is none, and call nextTimeout again. When `ended` is set: send the remaining output and close
 * the transport. When the transport ends, call handleEnd.
 */
import { ByteQueue } from "./byte-queue.ts";
import { Flag, type FrameHeader, FrameType, GoAwayCode, HEADER_BYTES, readHeader, writeHeader } from "./frame.ts";
import { type StreamHost, YamuxStream, type YamuxStreamHandlers } from "./stream.ts";

export interface YamuxSessionOptions {
  /** The dialer of the transport is the client. It decides the parity of stream ids, nothing else. */
  readonly role: "client" | "server";
  /** Interval of pings to the peer; 0 disables them. */
  readonly pingIntervalMs?: number | undefined;
  /** The peer is pinged only after it sent nothing for the interval: a peer that pings on its own is not pinged by us. */
  readonly pingsOnlySilence?: boolean | undefined;
  /** Without an answer for this long the session fails. */
  readonly pingTimeoutMs?: number | undefined;
  /** Streams that exist at once, opened by either side. Further ones are refused with RST. */
  readonly maxStreams?: number | undefined;
  /** Output above which streams accept no more bytes. */
  readonly maxOutputBytes?: number | undefined;
  /** A stream that we opened must be accepted within this, or the session fails. */
  readonly openTimeoutMs?: number | undefined;
  /** A stream that we ended, or that lingers, must be ended by the peer within this, or it is reset. */
  readonly closeTimeoutMs?: number | undefined;
}

/**
 * Pings of the side that dialled. Servers ping on their own, every 15 or 30 s; this interval is a little longer, so that only one
 * of the two sides pings.
 */
export const DIALLER_PINGS = { pingIntervalMs: 35_000, pingsOnlySilence: true } as const;

/** Why a session is over. Without `failure` we closed it, or the transport ended. */
export interface YamuxEnd {
  readonly failure?: string | undefined;
}

/** Streams not accepted yet, per direction (the limit of Go's implementation). */
export const ACCEPT_BACKLOG = 256;
/** Control frames are never refused, but a peer that requests answers and reads nothing must not fill memory. */
const CONTROL_SLACK_BYTES = 64 * 1024;
const MAX_STREAM_ID = 0xffff_ffff;

export class YamuxSession {
  /** Called when there is output after there was none. It should only record that, or take the output. */
  onOutput: (() => void) | undefined;
  /** Called when accept() has something to return. */
  onIncoming: (() => void) | undefined;
  readonly role: "client" | "server";
  readonly #pingIntervalMs: number;
  readonly #pingTimeoutMs: number;
  readonly #pingsOnlySilence: boolean;
  readonly #maxStreams: number;
  readonly #maxOutputBytes: number;
  readonly #openTimeoutMs: number;
  readonly #closeTimeoutMs: number;

  readonly #streams = new Map<number, YamuxStream>();
  readonly #backlog: YamuxStream[] = [];
  readonly #waitingForRoom = new Set<YamuxStream>();
  readonly #output = new ByteQueue();
  readonly #closeListeners: ((end: YamuxEnd) => void)[] = [];
  readonly #host: StreamHost;
  /**
   * Streams we opened and the peer has not accepted, and streams whose end by the peer is awaited; undefined: not armed
   * yet.
   */
  readonly #openDeadlines = new Map<number, number | undefined>();
  readonly #closeDeadlines = new Map<number, number | undefined>();

  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #payloadLeft = 0;
  #payloadStream: YamuxStream | undefined;
  #finAfterPayload = false;

  #now: number | undefined;
  #nextStreamId: number;
  #localGoAway = false;
  #remoteGoAway = false;
  #ended: YamuxEnd | undefined;

  #pingAt: number | undefined;
  #pongBy: number | undefined;
  #pingSentAt = 0;
  #pingValue = 0;
  #lastPongAt: number | undefined;
  #rttMs: number | undefined;

  constructor(options: YamuxSessionOptions) {
    this.role = options.role;
    this.#nextStreamId = options.role === "client" ? 1 : 2;
    this.#pingIntervalMs = options.pingIntervalMs ?? 30_000;
    this.#pingTimeoutMs = options.pingTimeoutMs ?? 10_000;
    this.#pingsOnlySilence = options.pingsOnlySilence ?? false;
    this.#maxStreams = options.maxStreams ?? 512;
    this.#maxOutputBytes = options.maxOutputBytes ?? 1024 * 1024;
    this.#openTimeoutMs = options.openTimeoutMs ?? 75_000;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 5 * 60_000;
    this.#host = this.#streamHost();
  }

  /** Set once the session is over; output may be left to send. */
  get ended(): YamuxEnd | undefined {
    return this.#ended;
  }
  /** When the peer last answered a ping. */
  get lastPongAt(): number | undefined {
    return this.#lastPongAt;
  }
  get rttMs(): number | undefined {
    return this.#rttMs;
  }
  get streamCount(): number {
    return this.#streams.size;
  }
  get outputBytes(): number {
    return this.#output.length;
  }

  /** Calls back once when the session is over: at once if it already is. */
  whenClosed(listener: (end: YamuxEnd) => void): void {
    if (this.#ended !== undefined) listener(this.#ended);
    else this.#closeListeners.push(listener);
  }

  /** Undefined when there is no room for another stream, or the session or the peer is going away. */
  openStream(handlers: YamuxStreamHandlers = {}): YamuxStream | undefined {
    if (this.#ended !== undefined || this.#remoteGoAway || this.#localGoAway) return undefined;
    if (this.#streams.size >= this.#maxStreams || this.#openDeadlines.size >= ACCEPT_BACKLOG) return undefined;
    if (this.#nextStreamId > MAX_STREAM_ID) return undefined;
    const stream = new YamuxStream(this.#nextStreamId, this.#host);
    stream.handlers = handlers;
    this.#nextStreamId += 2;
    this.#streams.set(stream.id, stream);
    this.#openDeadlines.set(stream.id, undefined);
    this.#control(FrameType.windowUpdate, Flag.syn, stream.id, 0);
    return stream;
  }

  /** The oldest stream that the peer opened and that was not taken yet, or undefined. */
  accept(): YamuxStream | undefined {
    const stream = this.#backlog.shift();
    if (stream !== undefined) this.#control(FrameType.windowUpdate, Flag.ack, stream.id, 0);
    return stream;
  }

  /** @param chunk Borrowed; any part of the peer's byte stream, however fragmented. Never throws on its content. */
  handleBytes(chunk: Uint8Array, now: number): void {
    this.#now = now;
    if (this.#pingsOnlySilence) this.#pingAt = now + this.#pingIntervalMs;
    let at = 0;
    while (at < chunk.length && this.#ended === undefined) {
      if (this.#payloadLeft > 0) {
        const piece = chunk.subarray(at, at + this.#payloadLeft);
        at += piece.length;
        this.#payloadLeft -= piece.length;
        this.#payloadStream?.receive(piece);
        if (this.#payloadLeft === 0) this.#endPayload();
        continue;
      }
      const piece = chunk.subarray(at, at + HEADER_BYTES - this.#headerBytes);
      this.#header.set(piece, this.#headerBytes);
      this.#headerBytes += piece.length;
      at += piece.length;
      if (this.#headerBytes < HEADER_BYTES) continue;
      this.#headerBytes = 0;
      this.#handleHeader(readHeader(this.#header));
    }
  }

  /** The transport ended. Nothing can be sent any more. Idempotent. */
  handleEnd(failure?: string): void {
    this.#output.clear();
    this.#end({ failure });
  }

  /** Up to `maxBytes` to send, owned by the caller; undefined when there is nothing. */
  takeOutput(maxBytes = 64 * 1024): Uint8Array | undefined {
    const bytes = this.#output.take(maxBytes);
    if (bytes !== undefined && this.#output.length <= this.#maxOutputBytes / 2) this.#resumeWriters();
    return bytes;
  }

  /** The next time to call handleTimeout. A time that has passed means: now. */
  nextTimeout(): number | undefined {
    if (this.#ended !== undefined) return undefined;
    if (this.#now === undefined) return 0;
    let next = this.#pongBy ?? this.#pingAt;
    if (next === undefined && this.#pingIntervalMs > 0) return this.#now;
    for (const deadlines of [this.#openDeadlines, this.#closeDeadlines]) {
      for (const at of deadlines.values()) {
        if (at === undefined) return this.#now;
        if (next === undefined || at < next) next = at;
      }
    }
    return next;
  }

  /** Safe to call early or twice. Arms the timers of openStream and end since the last call: those have no `now`. */
  handleTimeout(now: number): void {
    if (this.#ended !== undefined) return;
    this.#now = now;
    this.#handlePingTimers(now);
    for (const [id, at] of this.#openDeadlines) {
      if (at === undefined) this.#openDeadlines.set(id, now + this.#openTimeoutMs);
      else if (at <= now) {
        this.#fail(GoAwayCode.internalError, `stream ${id} was not accepted in time`);
        return;
      }
    }
    for (const [id, at] of this.#closeDeadlines) {
      if (at === undefined) this.#closeDeadlines.set(id, now + this.#closeTimeoutMs);
      else if (at <= now) this.#abandon(id);
    }
  }

  /** Refuses new streams from now on; existing ones continue. */
  goAway(): void {
    if (this.#localGoAway || this.#ended !== undefined) return;
    this.#localGoAway = true;
    this.#control(FrameType.goAway, 0, 0, GoAwayCode.normal);
  }

  /**
   * Ends the session and all streams; a GoAway is left as output. Idempotent.
   * @param failure Why, unless it is an ordinary end.
   */
  close(failure?: string): void {
    this.goAway();
    this.#end({ failure });
  }

  #handleHeader(header: FrameHeader): void {
    if (header.version !== 0) {
      this.#protocolError(`version ${header.version}`);
      return;
    }
    switch (header.type) {
      case FrameType.data:
      case FrameType.windowUpdate:
        this.#handleStreamFrame(header);
        return;
      case FrameType.ping:
        this.#handlePing(header);
        return;
      case FrameType.goAway:
        this.#handleGoAway(header);
        return;
      default:
        this.#protocolError(`frame type ${header.type}`);
        return;
    }
  }

  #handleStreamFrame(header: FrameHeader): void {
    const { streamId, flags, length } = header;
    if ((flags & Flag.syn) !== 0 && !this.#handleSyn(streamId)) {
      if (this.#ended === undefined && header.type === FrameType.data) this.#payloadLeft = length; // to be discarded
      return;
    }
    const stream = this.#streams.get(streamId);
    if (stream === undefined) {
      // Streams already forgotten here: the peer may not know yet.
      if (header.type === FrameType.data) this.#payloadLeft = length;
      return;
    }
    if ((flags & Flag.ack) !== 0) this.#openDeadlines.delete(streamId);
    if ((flags & Flag.rst) !== 0) {
      if (header.type === FrameType.data) this.#payloadLeft = length;
      stream.close("reset");
      return;
    }
    if (header.type === FrameType.windowUpdate) {
      if (!stream.growSendWindow(length)) {
        this.#protocolError(`window of stream ${streamId} overflows`);
        return;
      }
      if ((flags & Flag.fin) !== 0) this.#handleFin(stream);
      return;
    }
    if (length > 0 && stream.remoteEnded) {
      this.#protocolError(`data on stream ${streamId} after its end`);
      return;
    }
    if (!stream.grantPayload(length)) {
      this.#protocolError(`data on stream ${streamId} exceeds its window`);
      return;
    }
    this.#payloadLeft = length;
    this.#payloadStream = stream;
    this.#finAfterPayload = (flags & Flag.fin) !== 0;
    if (length === 0) this.#endPayload();
  }

  /** False when there is no such stream afterwards. */
  #handleSyn(streamId: number): boolean {
    const peersParity = this.role === "client" ? 0 : 1;
    if (streamId === 0 || streamId % 2 !== peersParity) {
      this.#protocolError(`stream id ${streamId} is not the peer's to open`);
      return false;
    }
    if (this.#streams.has(streamId)) {
      this.#protocolError(`stream ${streamId} opened twice`);
      return false;
    }
    if (this.#localGoAway || this.#backlog.length >= ACCEPT_BACKLOG || this.#streams.size >= this.#maxStreams) {
      this.#control(FrameType.windowUpdate, Flag.rst, streamId, 0);
      return false;
    }
    const stream = new YamuxStream(streamId, this.#host);
    this.#streams.set(streamId, stream);
    this.#backlog.push(stream);
    this.onIncoming?.();
    return true;
  }

  #endPayload(): void {
    const stream = this.#payloadStream;
    const fin = this.#finAfterPayload;
    this.#payloadStream = undefined;
    this.#finAfterPayload = false;
    if (stream !== undefined && fin && this.#ended === undefined) this.#handleFin(stream);
  }

  #handleFin(stream: YamuxStream): void {
    if (stream.closed !== undefined) return; // closed by a handler, during this frame
    if (!stream.receiveFin()) this.#protocolError(`stream ${stream.id} ended twice`);
  }

  #handlePing(header: FrameHeader): void {
    if ((header.flags & Flag.ack) !== 0) {
      if (this.#pongBy === undefined || header.length !== this.#pingValue) return;
      this.#pongBy = undefined;
      this.#lastPongAt = this.#now;
      this.#rttMs = this.#now! - this.#pingSentAt;
    } else if ((header.flags & Flag.syn) !== 0) {
      this.#control(FrameType.ping, Flag.ack, 0, header.length);
    }
  }

  #handleGoAway(header: FrameHeader): void {
    this.#remoteGoAway = true;
    if (header.length !== GoAwayCode.normal)
      this.#end({ failure: `the peer closed the session with code ${header.length}` });
  }

  #handlePingTimers(now: number): void {
    if (this.#pingIntervalMs <= 0) return;
    if (this.#pongBy !== undefined) {
      if (this.#pongBy <= now) this.#fail(GoAwayCode.internalError, "the peer did not answer a ping in time");
      return;
    }
    this.#pingAt ??= now + this.#pingIntervalMs;
    if (this.#pingAt > now) return;
    this.#pingValue = (this.#pingValue + 1) >>> 0;
    this.#pingSentAt = now;
    this.#pingAt = now + this.#pingIntervalMs;
    this.#pongBy = now + this.#pingTimeoutMs;
    this.#control(FrameType.ping, Flag.syn, 0, this.#pingValue);
  }

  #abandon(streamId: number): void {
    const stream = this.#streams.get(streamId);
    this.#control(FrameType.windowUpdate, Flag.rst, streamId, 0);
    stream?.close("timeout");
  }

  #resumeWriters(): void {
    const waiting = [...this.#waitingForRoom];
    this.#waitingForRoom.clear();
    for (const stream of waiting) stream.resumeWriting();
  }

  #control(type: number, flags: number, streamId: number, length: number): void {
    if (this.#ended !== undefined) return;
    if (this.#output.length > this.#maxOutputBytes + CONTROL_SLACK_BYTES) {
      this.#output.clear();
      this.#end({ failure: "the peer does not read its answers" });
      return;
    }
    this.#append(writeHeader(type, flags, streamId, length));
  }

  #append(header: Uint8Array, payload?: Uint8Array): void {
    const wasEmpty = this.#output.length === 0;
    this.#output.append(header);
    if (payload !== undefined) this.#output.append(payload);
    if (wasEmpty) this.onOutput?.();
  }

  #protocolError(what: string): void {
    this.#fail(GoAwayCode.protocolError, `yamux protocol error: ${what}`);
  }

  #fail(code: number, failure: string): void {
    this.#control(FrameType.goAway, 0, 0, code);
    this.#end({ failure });
  }

  #end(end: YamuxEnd): void {
    if (this.#ended !== undefined) return;
    this.#ended = end;
    this.#backlog.length = 0;
    for (const stream of [...this.#streams.values()]) stream.close("session");
    for (const listener of this.#closeListeners.splice(0)) listener(end);
  }

  #streamHost(): StreamHost {
    return {
      outputRoom: () => (this.#ended === undefined ? this.#maxOutputBytes - this.#output.length - HEADER_BYTES : 0),
      waitForRoom: (stream) => this.#waitingForRoom.add(stream),
      sendData: (stream, payload) => this.#append(writeHeader(FrameType.data, 0, stream.id, payload.length), payload),
      sendWindowUpdate: (stream, delta) => this.#control(FrameType.windowUpdate, 0, stream.id, delta),
      sendFin: (stream) => this.#control(FrameType.windowUpdate, Flag.fin, stream.id, 0),
      sendReset: (stream) => this.#control(FrameType.windowUpdate, Flag.rst, stream.id, 0),
      waitForPeersEnd: (stream) => {
        if (this.#streams.has(stream.id)) this.#closeDeadlines.set(stream.id, undefined);
      },
      streamClosed: (stream) => {
        this.#streams.delete(stream.id);
        this.#openDeadlines.delete(stream.id);
        this.#closeDeadlines.delete(stream.id);
        this.#waitingForRoom.delete(stream);
        const queued = this.#backlog.indexOf(stream);
        if (queued >= 0) this.#backlog.splice(queued, 1);
      },
    };
  }
}
