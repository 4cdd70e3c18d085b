import { EngineError } from "../../base/errors.ts";
import type { Instant } from "../../base/instant.ts";
import { type CryptoSuite, type Logger, type RandomSource, silentLogger } from "../../base/ports.ts";
import { DerpClient, type DerpClientCounts, type DerpCloseReason } from "../../derp/client.ts";
import type { Region, RegionId } from "../../derp/map.ts";
import { toEngineError } from "../host/node-errors.ts";
import type { RelayDialer } from "./relay-dialer.ts";
import { type RelayCandidate, relayCandidates } from "./relay-targets.ts";
import { openRawTransport, openWebSocketTransport, type RelayTransport, UpgradeRefused } from "./relay-transport.ts";

/** For dialling, TLS, HTTP and the DERP handshake together. */
const CONNECT_TIMEOUT_MS = 10_000;
/** For dialling one address while there are others left to try. */
const DIAL_TIMEOUT_MS = 1_500;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
/** A connection that lasted this long was a good one: the next wait is short again. */
const GOOD_CONNECTION_MS = 10_000;
/** A relay that restarts may ask for at most this much patience. */
const MAX_RESTART_WAIT_MS = 30_000;
/** After a change of the network below, a relay that does not answer within this time is given up. */
const REBIND_PING_MS = 3_000;
/** In doubt a relay gets five round trips to answer, within these bounds: time for a retransmission. */
const DOUBT_MIN_MS = 1_500;
const DOUBT_MAX_MS = 3_000;
/** Dialling for longer than this may hang in a SYN that went nowhere: a fresh one is quicker. */
const STUCK_DIAL_MS = 4_000;
/** Queued bytes that are sent without waiting for the end of the turn. */
const EARLY_FLUSH_BYTES = 64 * 1024;
/** So often must WebSocket work where the raw upgrade just failed oddly, until WebSocket is preferred for good. */
const PROBES_TO_REMEMBER = 2;

export type RelayState = "connecting" | "ready" | "waiting" | "closed";

/** Called synchronously. Byte arrays are borrowed. */
export interface RelayHandler {
  onPacket(regionId: RegionId, sourceKey: Uint8Array, bytes: Uint8Array, offset: number, length: number): void;
  /** After the packets of one chunk read. */
  onBatchEnd?(): void;
  onStateChange?(state: RelayState, error: EngineError | undefined): void;
  onPeerGone?(peerKey: Uint8Array): void;
  /** The relay says it is unwell; "": well again. */
  onHealth?(text: string): void;
  /** After `congested`: there is room again. */
  onDrain?(): void;
}

export interface RelayConnectionOptions {
  readonly region: Region;
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  readonly clock: () => Instant;
  readonly dial: RelayDialer;
  /** Extra request headers; a function is asked at every attempt. */
  readonly headers?: Readonly<Record<string, string>> | (() => Promise<Readonly<Record<string, string>>>);
  readonly forceWebSocket?: boolean;
  /** The raw upgrade does not work here; WebSocket is used from now on. */
  readonly onForcedWebSocket?: (reason: string) => void;
  readonly handler: RelayHandler;
  readonly logger?: Logger;
  /** Bytes that may wait before packets are dropped. */
  readonly maxQueuedBytes?: number;
}

/**
 * A connection to the relay of one Region that comes back by itself, until closed. Tries the Nodes in order; raw upgrade
 * first, WebSocket when told to, or once something between us and the relay turned out not to carry the raw upgrade.
 */
export class RelayConnection implements AsyncDisposable {
  readonly regionId: RegionId;
  readonly #options: RelayConnectionOptions;
  readonly #handler: RelayHandler;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  readonly #pingWaiters = new Set<(outcome: number | EngineError) => void>();
  #region: Region;
  #state: RelayState = "connecting";
  #lastError: EngineError | undefined;
  #client: DerpClient | undefined;
  #transport: RelayTransport | undefined;
  #blocked = false;
  #flushScheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: Instant | undefined;
  #endConnection: ((error: EngineError) => void) | undefined;
  /** Ends the attempt or connection under way. */
  #abandon: ((error: EngineError) => void) | undefined;
  #skipWait: (() => void) | undefined;
  #preferred = false;
  #latencyMs: number | undefined;
  #webSocket: boolean;
  #probeWebSocket: string | undefined;
  #probesWon = 0;
  #retryAtOnce = false;
  #diallingSince: Instant | undefined;
  #restartWaitMs: number | undefined;

  constructor(options: RelayConnectionOptions) {
    this.#options = options;
    this.#region = options.region;
    this.regionId = options.region.regionId;
    this.#handler = options.handler;
    this.#logger = options.logger ?? silentLogger;
    this.#webSocket = options.forceWebSocket ?? false;
    if (relayCandidates(options.region).length === 0)
      throw new EngineError("ERR_INVALID_ARGUMENT", `region ${this.regionId} has no relay node`);
    this.#running = this.#run();
  }

  get state(): RelayState {
    return this.#state;
  }

  /** Why the last attempt failed or the last connection ended; undefined while ready. */
  get lastError(): EngineError | undefined {
    return this.#lastError;
  }

  /** Round trip of the last DERP ping. */
  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  /** What carries the connection now; undefined while there is none. */
  get transport(): "raw" | "websocket" | undefined {
    return this.#transport?.kind;
  }

  /** The transport takes no more at the moment: what is sent now waits, and is dropped above the bound. */
  get congested(): boolean {
    return this.#blocked;
  }

  get counts(): DerpClientCounts | undefined {
    return this.#client?.counts;
  }

  /**
   * Queues a packet; copied. Goes out with everything else of this turn, or by `flush`.
   * @returns false when it was dropped: not connected, or too much waiting.
   */
  send(destinationKey: Uint8Array, bytes: Uint8Array, offset: number, length: number): boolean {
    const client = this.#client;
    if (client === undefined || !client.sendPacket(destinationKey, bytes, offset, length, this.#options.clock()))
      return false;
    if (client.queuedBytes >= EARLY_FLUSH_BYTES) this.flush();
    else this.#scheduleFlush();
    return true;
  }

  /** Writes what is queued now, as far as the transport takes it. */
  flush(): void {
    const client = this.#client;
    const transport = this.#transport;
    if (client === undefined || transport === undefined) return;
    while (!this.#blocked) {
      const chunk = client.takeOutput();
      if (chunk === undefined) return;
      if (!transport.write(chunk, () => client.recycle(chunk))) this.#blocked = true;
    }
  }

  /** Whether this region is our home; remembered over reconnects. */
  notePreferred(preferred: boolean): void {
    if (this.#preferred === preferred) return;
    this.#preferred = preferred;
    if (this.#state !== "ready") return;
    this.#client?.notePreferred(preferred);
    this.#scheduleFlush();
  }

  /** Nodes to use from the next attempt on. Must be the same region. */
  updateRegion(region: Region): void {
    if (relayCandidates(region).length > 0) this.#region = region;
  }

  /** Something below changed: a waiting connection tries at once, an open one must answer within 3 s. */
  reconnectNow(): void {
    this.#skipWait?.();
    if (this.#client?.ready) {
      this.#client.ping(this.#options.clock(), REBIND_PING_MS);
      this.#scheduleFlush();
      this.#armTimer();
    }
  }

  /**
   * Something casts doubt on the connection: an open one must answer within seconds, an attempt that hangs begins anew, a
   * waiting one tries at once.
   */
  prove(): void {
    this.#skipWait?.();
    if (this.#client?.ready) {
      const patienceMs = Math.min(DOUBT_MAX_MS, Math.max(DOUBT_MIN_MS, 5 * (this.#latencyMs ?? 0)));
      this.#client.ping(this.#options.clock(), patienceMs);
      this.#scheduleFlush();
      this.#armTimer();
    } else if (this.#diallingSince !== undefined && this.#options.clock() - this.#diallingSince > STUCK_DIAL_MS) {
      this.#retryAtOnce = true;
      this.#abandon?.(
        new EngineError("ERR_TIMEOUT", `region ${this.regionId}: no relay answered yet`, { retryable: true }),
      );
    }
  }

  /** Our address is gone or we slept: whatever there is of a connection is dead. Dials again at once. */
  redial(): void {
    this.#retryAtOnce = true;
    this.#skipWait?.();
    this.#abandon?.(new EngineError("ERR_NETWORK_UNREACHABLE", "the network changed", { retryable: true }));
  }

  /** One DERP round trip in ms. Rejects with `signal.reason`, or ERR_RELAY_GONE when there is no connection. */
  async ping(options: { readonly signal: AbortSignal }): Promise<number> {
    const { signal } = options;
    signal.throwIfAborted();
    const client = this.#client;
    if (!client?.ready)
      throw new EngineError("ERR_RELAY_GONE", `no connection to region ${this.regionId}`, { retryable: true });
    return new Promise((resolve, reject) => {
      const answered = (outcome: number | EngineError): void => {
        signal.removeEventListener("abort", aborted);
        this.#pingWaiters.delete(answered);
        if (typeof outcome === "number") resolve(outcome);
        else reject(outcome);
      };
      const aborted = (): void => {
        this.#pingWaiters.delete(answered);
        reject(signal.reason);
      };
      signal.addEventListener("abort", aborted, { once: true });
      this.#pingWaiters.add(answered);
      client.ping(this.#options.clock());
      this.#scheduleFlush();
      this.#armTimer();
    });
  }

  /** Ends the connection for good. Safe to call twice. */
  async close(): Promise<void> {
    if (!this.#closing.signal.aborted)
      this.#closing.abort(new EngineError("ERR_CLOSED", `connection to region ${this.regionId} closed`));
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { clock, random } = this.#options;
    let backoffMs = FIRST_BACKOFF_MS;
    while (!signal.aborted) {
      const startedAt = clock();
      const error = await this.#connectOnce();
      if (signal.aborted) break;
      if (clock() - startedAt > GOOD_CONNECTION_MS && this.#state === "ready") backoffMs = FIRST_BACKOFF_MS;
      this.#logger.log("debug", "relay connection ended", {
        region: this.regionId,
        code: error.code,
        why: error.message,
      });
      this.#setState("waiting", error);
      if (!this.#retryAtOnce) {
        // A relay that restarts had many clients: they should not come back in the same instant.
        const jitter = 0.75 + (random.uint32() % 1024) / 2048;
        await this.#wait(jitter * Math.max(backoffMs, (this.#restartWaitMs ?? 0) / 0.75));
        backoffMs = Math.min(MAX_BACKOFF_MS, 2 * backoffMs);
      }
      this.#retryAtOnce = false;
      this.#restartWaitMs = undefined;
      if (!signal.aborted) this.#setState("connecting", error);
    }
    this.#setState("closed", undefined);
  }

  /** One attempt and, if it succeeds, the life of the connection. Returns why it ended; never rejects. */
  async #connectOnce(): Promise<EngineError> {
    const deadline = new AbortController();
    const deadlineTimer = setTimeout(
      () =>
        deadline.abort(
          new EngineError("ERR_TIMEOUT", `region ${this.regionId}: no relay answered in time`, { retryable: true }),
        ),
      CONNECT_TIMEOUT_MS,
    );
    const signal = AbortSignal.any([deadline.signal, this.#closing.signal]);
    const { promise: ended, resolve: endConnection } = Promise.withResolvers<EngineError>();
    const aborted = (): void => endConnection(toEngineError(signal.reason, `region ${this.regionId}`));
    this.#endConnection = endConnection;
    this.#abandon = (error) => deadline.abort(error);
    this.#client = this.#newClient(() => clearTimeout(deadlineTimer));
    try {
      signal.addEventListener("abort", aborted);
      const transport = await this.#openTransport(signal);
      this.#transport = transport;
      if (signal.aborted) return await ended;
      transport.start({
        onBytes: (chunk) => this.#received(chunk),
        onDrain: () => this.#drained(),
        onClosed: (error) => endConnection(this.#gone(error)),
      });
      this.flush();
      this.#armTimer();
      return await ended;
    } catch (error) {
      return toEngineError(error, `cannot reach relay region ${this.regionId}`);
    } finally {
      signal.removeEventListener("abort", aborted);
      clearTimeout(deadlineTimer);
      this.#dropConnection();
    }
  }

  async #openTransport(signal: AbortSignal): Promise<RelayTransport> {
    const { headers: given } = this.#options;
    const headers = typeof given === "function" ? await given() : (given ?? {});
    const candidates = relayCandidates(this.#region);
    let lastError: unknown;
    for (const [index, candidate] of candidates.entries()) {
      signal.throwIfAborted();
      try {
        return await this.#openCandidate(candidate, headers, signal, index === candidates.length - 1);
      } catch (error) {
        if (signal.aborted) throw error;
        lastError = error;
        this.#logger.log("debug", "relay node failed", { node: candidate.node.name, why: String(error) });
      }
    }
    throw lastError;
  }

  async #openCandidate(
    candidate: RelayCandidate,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    isLast: boolean,
  ): Promise<RelayTransport> {
    const context = `cannot reach relay "${candidate.label}"`;
    const dialSignal = isLast ? signal : AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
    let stream: Awaited<ReturnType<RelayDialer["connect"]>>;
    this.#diallingSince = this.#options.clock();
    try {
      stream = await this.#options.dial.connect(candidate.target, { signal: dialSignal });
    } catch (error) {
      throw toEngineError(error, context);
    } finally {
      this.#diallingSince = undefined;
    }
    const request = { host: candidate.hostHeader, headers, context, signal };
    try {
      if (this.#webSocket || this.#probeWebSocket !== undefined) return await openWebSocketTransport(stream, request);
      return await openRawTransport(stream, request);
    } catch (error) {
      stream.on("error", () => undefined); // the failure is known already
      stream.destroy();
      if (!signal.aborted)
        this.#noteUpgradeFailure(error, (stream as { alpnProtocol?: unknown }).alpnProtocol === "h2");
      throw toEngineError(error, context);
    }
  }

  /**
   * What a failed upgrade says about the way to the relay. A 4xx, or HTTP/2, means that something there does not carry the
   * raw upgrade: WebSocket from now on. A reset or another status may also mean that the relay is down just now: the next
   * attempt alone uses WebSocket, and only if that works again and again is it preferred.
   */
  #noteUpgradeFailure(error: unknown, isHttp2: boolean): void {
    if (this.#webSocket) return;
    if (this.#probeWebSocket !== undefined) {
      this.#probeWebSocket = undefined;
      return;
    }
    const status = error instanceof UpgradeRefused ? error.status : undefined;
    if (isHttp2) this.#preferWebSocket("the server speaks HTTP/2, which has no raw upgrade");
    else if (status !== undefined && status >= 400 && status < 500)
      this.#preferWebSocket(`raw upgrade refused with HTTP ${status}: a proxy may not allow "Upgrade: DERP"`);
    else this.#probeWebSocket = error instanceof Error ? error.message : String(error);
    this.#retryAtOnce = this.#webSocket;
  }

  #preferWebSocket(reason: string): void {
    this.#webSocket = true;
    this.#probeWebSocket = undefined;
    this.#logger.log("info", "relay by WebSocket from now on", { region: this.regionId, reason });
    this.#options.onForcedWebSocket?.(reason);
  }

  #newClient(onReady: () => void): DerpClient {
    const { privateKey, publicKey, crypto, random, clock, maxQueuedBytes } = this.#options;
    const handler = this.#handler;
    return new DerpClient(
      {
        privateKey,
        publicKey,
        crypto,
        random,
        logger: this.#logger,
        ...(maxQueuedBytes === undefined ? {} : { maxQueuedBytes }),
        handler: {
          onReady: () => {
            onReady();
            this.#becameReady();
          },
          onPacket: (source, bytes, offset, length) => handler.onPacket(this.regionId, source, bytes, offset, length),
          onPeerGone: (key) => handler.onPeerGone?.(key),
          onHealth: (text) => handler.onHealth?.(text),
          onRestarting: (reconnectInMs) => {
            this.#restartWaitMs = Math.min(reconnectInMs, MAX_RESTART_WAIT_MS);
          },
          onPong: (rttMs) => {
            this.#latencyMs = rttMs;
            for (const answered of [...this.#pingWaiters]) answered(rttMs);
          },
          onClosed: (reason) => this.#endConnection?.(this.#protocolError(reason)),
        },
      },
      clock(),
    );
  }

  #becameReady(): void {
    const probed = this.#probeWebSocket;
    this.#probeWebSocket = undefined;
    if (probed !== undefined && ++this.#probesWon >= PROBES_TO_REMEMBER) this.#preferWebSocket(probed);
    if (this.#preferred) this.#client?.notePreferred(true);
    this.#client?.ping(this.#options.clock());
    this.#setState("ready", undefined);
  }

  #received(chunk: Uint8Array): void {
    const client = this.#client;
    if (client === undefined) return;
    client.handleBytes(chunk, this.#options.clock());
    this.#handler.onBatchEnd?.();
    this.flush();
    if (this.#timerAt === undefined) this.#armTimer();
  }

  #drained(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.flush();
    if (!this.#blocked) this.#handler.onDrain?.();
  }

  #dropConnection(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = undefined;
    this.#endConnection = undefined;
    this.#abandon = undefined;
    this.#transport?.destroy();
    this.#transport = undefined;
    this.#client?.close();
    this.#client = undefined;
    this.#blocked = false;
    this.#latencyMs = undefined;
    const gone = new EngineError("ERR_RELAY_GONE", `connection to region ${this.regionId} ended`, { retryable: true });
    for (const answered of [...this.#pingWaiters]) answered(gone);
  }

  /** A chunk that arrives moves the deadline away; the timer then fires early once and is armed again. */
  #armTimer(): void {
    const client = this.#client;
    const deadline = client?.nextTimeout();
    if (client === undefined || deadline === undefined) return;
    if (this.#timerAt !== undefined && this.#timerAt <= deadline) return;
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = undefined;
        client.handleTimeout(this.#options.clock());
        if (this.#client === client) this.#armTimer();
      },
      Math.max(1, Math.ceil(deadline - this.#options.clock())),
    );
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.flush();
    });
  }

  async #wait(ms: number): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        this.#skipWait = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
      this.#skipWait = done;
    });
  }

  #setState(state: RelayState, error: EngineError | undefined): void {
    this.#lastError = error;
    if (this.#state === state) return;
    this.#state = state;
    this.#handler.onStateChange?.(state, error);
  }

  #gone(error: Error | undefined): EngineError {
    const context = `relay region ${this.regionId}`;
    if (error !== undefined) return toEngineError(error, context);
    return new EngineError("ERR_RELAY_GONE", `${context}: closed by the relay`, { retryable: true });
  }

  #protocolError(reason: DerpCloseReason): EngineError {
    const context = `relay region ${this.regionId}`;
    switch (reason) {
      case "handshake-timeout":
      case "read-timeout":
      case "ping-timeout":
        return new EngineError("ERR_TIMEOUT", `${context}: silent for too long (${reason})`, { retryable: true });
      case "closed":
        return new EngineError("ERR_CLOSED", `${context}: closed`);
      case "not-a-relay":
      case "bad-server-info":
      case "malformed-frame":
      case "frame-too-long":
        return new EngineError("ERR_RELAY_PROTOCOL", `${context}: does not speak DERP (${reason})`, {
          retryable: true,
        });
    }
  }
}
