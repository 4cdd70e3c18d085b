import { bytesEqual } from "../base/bytes.ts";
import { looksLikeDisco } from "../base/disco-marker.ts";
import { addMs, earliest, type Instant } from "../base/instant.ts";
import { type CryptoSuite, type Logger, type RandomSource, silentLogger } from "../base/ports.ts";
import { TimerTable } from "../base/timer-table.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import {
  FrameDecoder,
  type FrameSink,
  FrameType,
  type FrameVerdict,
  frame,
  HEADER_BYTES,
  KEY_BYTES,
  MAX_FRAME_BYTES,
  MAX_PACKET_BYTES,
  notePreferredFrame,
  PeerGoneReason,
  readUint32,
} from "./frame.ts";
import { GatherBuffer } from "./gather-buffer.ts";
import {
  clientInfoFrame,
  NONCE_BYTES,
  openServerInfo,
  PROTOCOL_VERSION,
  parseServerKey,
  SERVER_INFO_MAX_BYTES,
  SERVER_KEY_MAX_BYTES,
  type ServerInfo,
} from "./handshake.ts";
import { decodeUtf8 } from "./text.ts";

/** Without any frame for this long the connection is dead: the server sends a KeepAlive at least every 65 s. */
export const READ_TIMEOUT_MS = 120_000;
export const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A ping without an answer expires, or closes the connection if the caller requested that. */
export const PING_TIMEOUT_MS = 5_000;
const DEFAULT_MAX_QUEUED_BYTES = 1 << 20;
/** Control frames may exceed the bound of the queue by this much; beyond that they are dropped as well. */
const CONTROL_SLACK_BYTES = 16 * 1024;
/** Forwarded disco packets may exceed the bound by this much: they find the paths that take load off the relays. */
const FORWARDED_DISCO_SLACK_BYTES = 64 * 1024;
const MAX_HEALTH_BYTES = 4096;
const PING_BYTES = 8;

export type DerpCloseReason =
  | "not-a-relay"
  | "bad-server-info"
  | "malformed-frame"
  | "frame-too-long"
  | "handshake-timeout"
  | "read-timeout"
  | "ping-timeout"
  | "closed";

/** What a connection reports. Called synchronously from handleBytes and handleTimeout. Byte arrays are borrowed. */
export interface DerpClientHandler {
  /** The server proved its key and accepted ours. */
  onReady?(info: ServerInfo): void;
  /** `bytes[offset, offset + length)` came from the holder of `sourceKey`, a 32-byte array that the next packet reuses. */
  onPacket(sourceKey: Uint8Array, bytes: Uint8Array, offset: number, length: number): void;
  onPeerGone?(key: Uint8Array, reason: number): void;
  /** Mesh members only: a client is connected to that server. */
  onPeerPresent?(key: Uint8Array): void;
  /** The server reports a problem; an empty text means that it is healthy again. */
  onHealth?(text: string): void;
  onRestarting?(reconnectInMs: number, tryForMs: number): void;
  onPong?(rttMs: number): void;
  /** Last call. The shell closes the transport. */
  onClosed?(reason: DerpCloseReason): void;
}

export interface DerpClientOptions {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  readonly handler: DerpClientHandler;
  readonly logger?: Logger;
  /** Fast start: the server's key is known from elsewhere, so ClientInfo goes out at once. */
  readonly serverKey?: Uint8Array;
  /** Only for members of a relay mesh. */
  readonly meshKey?: string | undefined;
  /** Bytes that may wait to be sent before packets are dropped. */
  readonly maxQueuedBytes?: number | undefined;
  /**
   * Ping this often; if neither the answer nor anything else arrives within PING_TIMEOUT_MS, the connection is closed
   * ("ping-timeout"). Without it only `ping` pings.
   */
  readonly pingIntervalMs?: number | undefined;
}

export interface DerpClientCounts {
  packetsSent: number;
  packetsReceived: number;
  /** Packets dropped because too many waited, by the server's rate limit, and because they were too long. */
  droppedQueueFull: number;
  droppedRateLimited: number;
  droppedTooLong: number;
  unknownFrames: number;
}

/**
 * Client side of one DERP connection, from the first byte after the HTTP upgrade. After each call into it: send what
 * `takeOutput` returns, and call `handleTimeout` at `nextTimeout`.
 *
 * Packets may be queued from the start. They leave behind ClientInfo, without waiting for ServerInfo.
 */
export class DerpClient {
  readonly counts: DerpClientCounts = {
    packetsSent: 0,
    packetsReceived: 0,
    droppedQueueFull: 0,
    droppedRateLimited: 0,
    droppedTooLong: 0,
    unknownFrames: 0,
  };
  readonly #options: DerpClientOptions;
  readonly #handler: DerpClientHandler;
  readonly #logger: Logger;
  readonly #maxQueuedBytes: number;
  readonly #decoder = new FrameDecoder();
  readonly #sink: FrameSink;
  readonly #timers = new TimerTable<"handshake" | "ping" | "next-ping">();
  readonly #out = new GatherBuffer();
  readonly #sourceKey = new Uint8Array(KEY_BYTES);
  #state: "server-key" | "server-info" | "ready" | "closed" = "server-key";
  /** ClientInfo, which leaves before everything queued. */
  #greeting: Uint8Array | undefined;
  #serverKey: Uint8Array | undefined;
  #boxKey: Uint8Array | undefined;
  #rate: TokenBucket | undefined;
  #now: Instant;
  #lastFrameAt: Instant;
  #ping: { payload: Uint8Array; sentAt: Instant; mustAnswer: boolean } | undefined;

  constructor(options: DerpClientOptions, now: Instant) {
    this.#options = options;
    this.#handler = options.handler;
    this.#logger = options.logger ?? silentLogger;
    this.#maxQueuedBytes = options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES;
    this.#now = now;
    this.#lastFrameAt = now;
    this.#timers.set("handshake", addMs(now, HANDSHAKE_TIMEOUT_MS));
    this.#sink = {
      frameHeader: (type, length) => this.#verdict(type, length),
      frame: (type, bytes, offset, length) => this.#handleFrame(type, bytes, offset, length),
    };
    if (options.serverKey !== undefined) this.#greet(options.serverKey);
  }

  get ready(): boolean {
    return this.#state === "ready";
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** The key the server presented; undefined before that. */
  get serverKey(): Uint8Array | undefined {
    return this.#serverKey;
  }

  /** Bytes waiting for takeOutput. */
  get queuedBytes(): number {
    return this.#out.length;
  }

  handleBytes(chunk: Uint8Array, now: Instant): void {
    if (this.#state === "closed") return;
    this.#now = now;
    this.#decoder.push(chunk, this.#sink);
  }

  nextTimeout(): Instant | undefined {
    if (this.#state === "closed") return undefined;
    return earliest(this.#timers.next(), addMs(this.#lastFrameAt, READ_TIMEOUT_MS));
  }

  handleTimeout(now: Instant): void {
    if (this.#state === "closed") return;
    this.#now = now;
    for (let name = this.#timers.takeExpired(now); name !== undefined; name = this.#timers.takeExpired(now)) {
      if (name === "handshake") {
        this.close("handshake-timeout");
        return;
      }
      if (name === "next-ping") {
        this.ping(now, PING_TIMEOUT_MS);
        this.#armNextPing();
        continue;
      }
      // Behind a long queue the answer may take long; any later input is a sign of life too.
      const mustAnswer = this.#ping?.mustAnswer === true && this.#lastFrameAt <= this.#ping.sentAt;
      this.#ping = undefined;
      if (mustAnswer) {
        this.close("ping-timeout");
        return;
      }
    }
    if (now >= addMs(this.#lastFrameAt, READ_TIMEOUT_MS)) this.close("read-timeout");
  }

  /**
   * Queues a packet for the holder of a key; copied.
   * @returns false when it was dropped: closed, too long, queue full, or above the rate that the server announced.
   */
  sendPacket(destinationKey: Uint8Array, bytes: Uint8Array, offset: number, length: number, now: Instant): boolean {
    if (this.#state === "closed") return false;
    if (length > MAX_PACKET_BYTES) {
      this.counts.droppedTooLong++;
      return false;
    }
    const frameBytes = HEADER_BYTES + KEY_BYTES + length;
    if (this.#out.length + frameBytes > this.#maxQueuedBytes) {
      this.counts.droppedQueueFull++;
      return false;
    }
    if (this.#rate !== undefined && !this.#rate.take(now, frameBytes)) {
      this.counts.droppedRateLimited++;
      return false;
    }
    this.#out.appendPacket(FrameType.sendPacket, destinationKey, undefined, bytes, offset, length);
    this.counts.packetsSent++;
    return true;
  }

  /** Mesh members only: like sendPacket, for a packet whose sender is connected to us. */
  forwardPacket(
    sourceKey: Uint8Array,
    destinationKey: Uint8Array,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): boolean {
    if (this.#state === "closed" || length > MAX_PACKET_BYTES) return false;
    const excess = this.#out.length + HEADER_BYTES + 2 * KEY_BYTES + length - this.#maxQueuedBytes;
    if (excess > 0 && (excess > FORWARDED_DISCO_SLACK_BYTES || !looksLikeDisco(bytes, offset, length))) {
      this.counts.droppedQueueFull++;
      return false;
    }
    this.#out.appendPacket(FrameType.forwardPacket, sourceKey, destinationKey, bytes, offset, length);
    this.counts.packetsSent++;
    return true;
  }

  /** Tells the server whether it is our home. */
  notePreferred(preferred: boolean): void {
    this.#control(notePreferredFrame(preferred));
  }

  /** Mesh members only: asks for PeerPresent and PeerGone of every client of the server. */
  watchConnections(): void {
    this.#control(frame(FrameType.watchConns));
  }

  /** Mesh members only: asks the server to close every connection of a key. */
  closePeer(key: Uint8Array): void {
    this.#control(frame(FrameType.closePeer, key));
  }

  /**
   * Asks the server to answer. One ping at a time; while one is in flight only its deadline is tightened.
   * @param deadlineMs When given, no answer within this time closes the connection ("ping-timeout").
   */
  ping(now: Instant, deadlineMs?: number): void {
    if (this.#state !== "ready") return;
    if (this.#ping === undefined) {
      this.#ping = { payload: this.#options.random.bytes(PING_BYTES), sentAt: now, mustAnswer: false };
      this.#control(frame(FrameType.ping, this.#ping.payload));
      this.#timers.set("ping", addMs(now, PING_TIMEOUT_MS));
    }
    if (deadlineMs === undefined) return;
    // The earliest deadline of all requests applies.
    const answerBy = addMs(now, deadlineMs);
    this.#timers.set("ping", this.#ping.mustAnswer ? earliest(this.#timers.at("ping"), answerBy)! : answerBy);
    this.#ping.mustAnswer = true;
  }

  /** Everything queued as one chunk, owned by the caller; undefined when there is nothing to send. */
  takeOutput(): Uint8Array | undefined {
    const greeting = this.#greeting;
    if (greeting !== undefined) {
      this.#greeting = undefined;
      const rest = this.#out.take();
      if (rest === undefined) return greeting;
      const both = new Uint8Array(greeting.length + rest.length);
      both.set(greeting);
      both.set(rest, greeting.length);
      return both;
    }
    return this.#boxKey === undefined ? undefined : this.#out.take();
  }

  /** Optional: returns a written chunk of takeOutput for reuse, to save an allocation. */
  recycle(chunk: Uint8Array): void {
    this.#out.recycle(chunk);
  }

  close(reason: DerpCloseReason = "closed"): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#decoder.stop();
    this.#timers.clearAll();
    this.#out.clear();
    this.#greeting = undefined;
    this.#boxKey?.fill(0);
    this.#boxKey = undefined;
    this.#handler.onClosed?.(reason);
  }

  #verdict(type: number, length: number): FrameVerdict {
    if (this.#state === "server-key") {
      if (type !== FrameType.serverKey || length > SERVER_KEY_MAX_BYTES) return this.#refuse("not-a-relay");
      return "take";
    }
    if (length > MAX_FRAME_BYTES && !(type === FrameType.serverInfo && length <= SERVER_INFO_MAX_BYTES))
      return this.#refuse("frame-too-long");
    this.#lastFrameAt = this.#now;
    switch (type) {
      case FrameType.serverInfo:
        return this.#state === "server-info" ? "take" : "skip";
      case FrameType.recvPacket:
        if (this.#state !== "ready" || length < KEY_BYTES) return this.#refuse("malformed-frame");
        if (length > KEY_BYTES + MAX_PACKET_BYTES) return this.#refuse("frame-too-long");
        return "take";
      case FrameType.peerGone:
      case FrameType.peerPresent:
        return length < KEY_BYTES ? this.#refuse("malformed-frame") : "take";
      case FrameType.ping:
      case FrameType.pong:
        return length < PING_BYTES ? this.#refuse("malformed-frame") : "take";
      case FrameType.restarting:
        return length < 8 ? this.#refuse("malformed-frame") : "take";
      case FrameType.health:
        return "take";
      case FrameType.keepAlive:
      case FrameType.serverKey:
        return "skip";
      default:
        this.counts.unknownFrames++;
        return "skip";
    }
  }

  #handleFrame(type: number, bytes: Uint8Array, offset: number, length: number): void {
    this.#lastFrameAt = this.#now;
    switch (type) {
      case FrameType.recvPacket: {
        const key = this.#sourceKey;
        for (let i = 0; i < KEY_BYTES; i++) key[i] = bytes[offset + i]!;
        this.counts.packetsReceived++;
        this.#handler.onPacket(key, bytes, offset + KEY_BYTES, length - KEY_BYTES);
        return;
      }
      case FrameType.serverKey: {
        const key = parseServerKey(bytes, offset, length);
        if (key === undefined || !this.#greet(key)) this.close("not-a-relay");
        return;
      }
      case FrameType.serverInfo:
        this.#handleServerInfo(bytes, offset, length);
        return;
      case FrameType.peerGone: {
        const reason = length > KEY_BYTES ? bytes[offset + KEY_BYTES]! : PeerGoneReason.disconnected;
        this.#handler.onPeerGone?.(bytes.subarray(offset, offset + KEY_BYTES), reason);
        return;
      }
      case FrameType.peerPresent:
        this.#handler.onPeerPresent?.(bytes.subarray(offset, offset + KEY_BYTES));
        return;
      case FrameType.ping:
        this.#control(frame(FrameType.pong, bytes.subarray(offset, offset + PING_BYTES)));
        return;
      case FrameType.pong:
        this.#handlePong(bytes.subarray(offset, offset + PING_BYTES));
        return;
      case FrameType.health:
        this.#handler.onHealth?.(decodeUtf8(bytes, offset, Math.min(length, MAX_HEALTH_BYTES)));
        return;
      case FrameType.restarting:
        this.#handler.onRestarting?.(readUint32(bytes, offset), readUint32(bytes, offset + 4));
        return;
    }
  }

  #greet(serverKey: Uint8Array): boolean {
    const { crypto, privateKey, publicKey, random, meshKey } = this.#options;
    const boxKey = crypto.boxKey(privateKey, serverKey);
    if (boxKey === undefined) return false;
    this.#serverKey = serverKey;
    this.#boxKey = boxKey;
    this.#state = "server-info";
    this.#greeting = clientInfoFrame(crypto, publicKey, boxKey, random.bytes(NONCE_BYTES), {
      version: PROTOCOL_VERSION,
      meshKey,
      canAckPings: true,
      isProber: false,
    });
    return true;
  }

  #handleServerInfo(bytes: Uint8Array, offset: number, length: number): void {
    const info = openServerInfo(this.#options.crypto, this.#boxKey!, bytes, offset, length);
    if (info === undefined) {
      this.close("bad-server-info");
      return;
    }
    this.#state = "ready";
    this.#timers.clear("handshake");
    const perSecond = info.tokenBucketBytesPerSecond;
    if (perSecond !== undefined) {
      this.#rate = new TokenBucket(perSecond, info.tokenBucketBytesBurst ?? perSecond);
    }
    this.#armNextPing();
    this.#handler.onReady?.(info);
  }

  #armNextPing(): void {
    const { pingIntervalMs } = this.#options;
    if (pingIntervalMs !== undefined) this.#timers.set("next-ping", addMs(this.#now, pingIntervalMs));
  }

  #handlePong(payload: Uint8Array): void {
    if (this.#ping === undefined || !bytesEqual(this.#ping.payload, payload)) return;
    const rttMs = this.#now - this.#ping.sentAt;
    this.#ping = undefined;
    this.#timers.clear("ping");
    this.#handler.onPong?.(rttMs);
  }

  #control(bytes: Uint8Array): void {
    if (this.#state === "closed") return;
    if (this.#out.length + bytes.length > this.#maxQueuedBytes + CONTROL_SLACK_BYTES) {
      this.counts.droppedQueueFull++;
      return;
    }
    this.#out.append(bytes);
  }

  #refuse(reason: DerpCloseReason): "refuse" {
    this.#logger.log("debug", "relay connection given up", { reason });
    this.close(reason);
    return "refuse";
  }
}
