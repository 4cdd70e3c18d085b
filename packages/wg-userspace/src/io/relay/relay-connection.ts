import type { Duplex } from "node:stream";
import { abortable, aborted, deadline, sleep } from "../../async/abort.ts";
import { EngineError, type ErrorCode } from "../../base/errors.ts";
import type { Instant } from "../../base/instant.ts";
import { type CryptoSuite, type Logger, type RandomSource, silentLogger } from "../../base/ports.ts";
import { DerpClient, type DerpClientCounts, type DerpCloseReason } from "../../derp/client.ts";
import { hasRelay, type Region, type RegionId } from "../../derp/map.ts";
import type { RelayCandidate } from "../../derp/relay-candidates.ts";
import { ATTEMPT_LIMIT_MS, DIAL_LIMIT_MS, doubtPatienceMs, RelayPolicy } from "../../derp/relay-policy.ts";
import { toEngineError } from "../host/node-errors.ts";
import type { RelayDialer } from "./relay-dialer.ts";
import { openRawTransport, openWebSocketTransport, type RelayTransport, UpgradeRefused } from "./relay-transport.ts";

/** After a change of the network below, a relay that does not answer within this time is given up. */
const REBIND_PING_MS = 3_000;
/** Queued bytes that are sent without waiting for the end of the turn. */
const EARLY_FLUSH_BYTES = 64 * 1024;

export type RelayState = "connecting" | "ready" | "waiting" | "closed";

/** Callbacks are synchronous. Byte arrays are borrowed. */
export interface RelayHandler {
  onPacket(regionId: RegionId, sourceKey: Uint8Array, bytes: Uint8Array, offset: number, length: number): void;
  /** All packets of one chunk have been reported. */
  onBatchEnd?(): void;
  onStateChange?(state: RelayState, error: EngineError | undefined): void;
  /** The relay accepted us. `serverKey` is the key that it proved. */
  onReady?(serverKey: Uint8Array): void;
  onPong?(rttMs: number): void;
  onPeerGone?(peerKey: Uint8Array): void;
  /** Members of a relay mesh only: a client is connected to that relay. */
  onPeerPresent?(peerKey: Uint8Array): void;
  /** The relay reports a problem of its own; "" means that it is over. */
  onHealth?(text: string): void;
  /** The transport accepts data again after it was `congested`. */
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
  /** Extra request headers; a function is called at every attempt. */
  readonly headers?: Readonly<Record<string, string>> | (() => Promise<Readonly<Record<string, string>>>);
  readonly forceWebSocket?: boolean;
  /** The raw upgrade does not work on this network; WebSocket is used from now on. */
  readonly onForcedWebSocket?: (reason: string) => void;
  readonly handler: RelayHandler;
  readonly logger?: Logger;
  /** Bytes that may wait before packets are dropped. */
  readonly maxQueuedBytes?: number;
  /** Only for members of a relay mesh: asks the relay which clients it has, as soon as it accepted us. */
  readonly meshKey?: string;
  /** Ping this often, and give up a connection that does not answer; without it, ping only when in doubt. */
  readonly pingIntervalMs?: number;
}

/**
 * A connection to the relay of one Region that is opened again whenever it is lost, until it is closed. {@link RelayPolicy}
 * decides where, how and when to dial; this class holds the socket, the DERP client and the timers.
 */
export class RelayConnection implements AsyncDisposable {
  readonly regionId: RegionId;
  readonly #options: RelayConnectionOptions;
  readonly #handler: RelayHandler;
  readonly #logger: Logger;
  readonly #policy: RelayPolicy;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  readonly #pingWaiters = new Set<(outcome: number | EngineError) => void>();
  #state: RelayState = "connecting";
  #lastError: EngineError | undefined;
  /** Ends the attempt or connection under way, with the reason. */
  #attempt = new AbortController();
  /** Ends the wait between two attempts. */
  #wait = new AbortController();
  #client: DerpClient | undefined;
  #transport: RelayTransport | undefined;
  #blocked = false;
  #flushScheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: Instant | undefined;
  #preferred = false;
  #latencyMs: number | undefined;

  constructor(options: RelayConnectionOptions) {
    this.#options = options;
    this.regionId = options.region.regionId;
    this.#handler = options.handler;
    this.#logger = options.logger ?? silentLogger;
    if (!hasRelay(options.region))
      throw new EngineError("ERR_INVALID_ARGUMENT", `region ${this.regionId} has no relay node`);
    const { region, forceWebSocket = false, random } = options;
    this.#policy = new RelayPolicy({ region, forceWebSocket, random });
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

  /** What carries the connection; undefined while there is none. */
  get transport(): "raw" | "websocket" | undefined {
    return this.#transport?.kind;
  }

  /** The transport accepts no more data for now: packets are queued, and dropped above `maxQueuedBytes`. */
  get congested(): boolean {
    return this.#blocked;
  }

  get counts(): DerpClientCounts | undefined {
    return this.#client?.counts;
  }

  /**
   * Queues a copy of a packet, which is written at the end of this turn or by `flush`.
   * @returns false if it was dropped: not connected, or the queue is full.
   */
  send(destinationKey: Uint8Array, bytes: Uint8Array, offset: number, length: number): boolean {
    const client = this.#client;
    if (client === undefined || !client.sendPacket(destinationKey, bytes, offset, length, this.#options.clock()))
      return false;
    this.#queued(client);
    return true;
  }

  /** Members of a relay mesh only: like `send`, for a packet that came from a client of our own relay. */
  forward(
    sourceKey: Uint8Array,
    destinationKey: Uint8Array,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): boolean {
    const client = this.#client;
    if (!client?.ready || !client.forwardPacket(sourceKey, destinationKey, bytes, offset, length)) return false;
    this.#queued(client);
    return true;
  }

  #queued(client: DerpClient): void {
    if (client.queuedBytes >= EARLY_FLUSH_BYTES) this.flush();
    else this.#scheduleFlush();
  }

  /** Writes as much of the queue as the transport accepts. */
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

  /** Whether this region is our home; kept across reconnects. */
  notePreferred(preferred: boolean): void {
    if (this.#preferred === preferred) return;
    this.#preferred = preferred;
    if (this.#state !== "ready") return;
    this.#client?.notePreferred(preferred);
    this.#scheduleFlush();
  }

  /** Nodes to use from the next attempt on. Must be the same region; a region without relays is ignored. */
  updateRegion(region: Region): void {
    this.#policy.updateRegion(region);
  }

  /** The network below changed: ends a wait, and an open connection has to answer within 3 s. */
  reconnectNow(): void {
    this.#wait.abort();
    if (this.#client?.ready) this.#demandAnswer(this.#client, REBIND_PING_MS);
  }

  /**
   * The connection is in doubt: ends a wait, restarts a dial that takes too long, and an open connection has to answer
   * within seconds.
   */
  prove(): void {
    this.#wait.abort();
    if (this.#client?.ready) this.#demandAnswer(this.#client, doubtPatienceMs(this.#latencyMs));
    else if (this.#policy.isStuck(this.#options.clock())) {
      this.#policy.retryAtOnce();
      this.#attempt.abort(this.#error("ERR_TIMEOUT", "no relay answered yet"));
    }
  }

  /** An address of ours is gone or the machine slept, so a connection or an attempt is dead. Dials again at once. */
  redial(): void {
    this.#policy.retryAtOnce();
    this.#wait.abort();
    this.#attempt.abort(new EngineError("ERR_NETWORK_UNREACHABLE", "the network changed", { retryable: true }));
  }

  /** One DERP round trip in ms. Rejects with `signal.reason`, or ERR_RELAY_GONE when there is no connection. */
  async ping(options: { readonly signal: AbortSignal }): Promise<number> {
    const { signal } = options;
    signal.throwIfAborted();
    const client = this.#client;
    if (!client?.ready) throw this.#error("ERR_RELAY_GONE", "no connection");
    return abortable(signal, (resolve, reject) => {
      const answered = (outcome: number | EngineError): void => {
        if (typeof outcome === "number") resolve(outcome);
        else reject(outcome);
      };
      this.#pingWaiters.add(answered);
      this.#demandAnswer(client);
      return () => this.#pingWaiters.delete(answered);
    });
  }

  /** Closes the connection permanently. Safe to call twice. */
  async close(): Promise<void> {
    const closed = new EngineError("ERR_CLOSED", `connection to region ${this.regionId} closed`);
    this.#closing.abort(closed);
    this.#attempt.abort(closed);
    this.#wait.abort();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    const { signal: closing } = this.#closing;
    while (!closing.aborted) {
      const error = await this.#connectOnce();
      if (closing.aborted) break;
      this.#logger.log("debug", "relay connection ended", {
        region: this.regionId,
        code: error.code,
        why: error.message,
      });
      this.#wait = new AbortController();
      this.#setState("waiting", error);
      const waitMs = this.#policy.attemptEnded(this.#options.clock());
      if (waitMs > 0) await sleep(waitMs, this.#wait.signal).catch(() => undefined); // cut short when the next attempt should begin now
      if (!closing.aborted) this.#setState("connecting", error);
    }
    this.#setState("closed", undefined);
  }

  /** One attempt and, if it succeeds, the life of the connection. Returns why it ended; never rejects. */
  async #connectOnce(): Promise<EngineError> {
    const attempt = new AbortController();
    const { signal } = attempt;
    const limit = setTimeout(
      () => attempt.abort(this.#error("ERR_TIMEOUT", "no relay answered in time")),
      ATTEMPT_LIMIT_MS,
    );
    this.#attempt = attempt;
    const candidates = this.#policy.beginAttempt();
    this.#client = this.#newClient(attempt, () => clearTimeout(limit));
    try {
      this.#transport = await this.#openTransport(candidates, signal);
      if (!signal.aborted) {
        this.#transport.start({
          onBytes: (chunk) => this.#received(chunk),
          onDrain: () => this.#drained(),
          onClosed: (error) => attempt.abort(this.#gone(error)),
        });
        this.flush();
        this.#armTimer();
      }
      await aborted(signal);
      return toEngineError(signal.reason, `region ${this.regionId}`);
    } catch (error) {
      return toEngineError(error, `cannot reach relay region ${this.regionId}`);
    } finally {
      clearTimeout(limit);
      this.#dropConnection();
    }
  }

  async #openTransport(candidates: readonly RelayCandidate[], signal: AbortSignal): Promise<RelayTransport> {
    const { headers: given } = this.#options;
    const headers = typeof given === "function" ? await given() : (given ?? {});
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
    const stream = await this.#dial(candidate, isLast ? signal : deadline(DIAL_LIMIT_MS, signal)).catch(
      (error: unknown) => {
        throw toEngineError(error, context);
      },
    );
    const request = { host: candidate.hostHeader, headers, context, signal };
    this.#policy.upgrading();
    try {
      if (this.#policy.transport === "websocket") return await openWebSocketTransport(stream, request);
      return await openRawTransport(stream, request);
    } catch (error) {
      stream.on("error", () => undefined); // the failure is known already
      stream.destroy();
      if (!signal.aborted) {
        const preferred = this.#policy.upgradeFailed({
          status: error instanceof UpgradeRefused ? error.status : undefined,
          isHttp2: (stream as { alpnProtocol?: unknown }).alpnProtocol === "h2",
          message: error instanceof Error ? error.message : String(error),
        });
        if (preferred !== undefined) this.#reportWebSocket(preferred);
      }
      throw toEngineError(error, context);
    }
  }

  async #dial({ target }: RelayCandidate, signal: AbortSignal): Promise<Duplex> {
    this.#policy.dialling(this.#options.clock());
    try {
      return await this.#options.dial.connect(target, { signal });
    } finally {
      this.#policy.dialled();
    }
  }

  #reportWebSocket(reason: string): void {
    this.#logger.log("info", "relay by WebSocket from now on", { region: this.regionId, reason });
    this.#options.onForcedWebSocket?.(reason);
  }

  #newClient(attempt: AbortController, onReady: () => void): DerpClient {
    const { privateKey, publicKey, crypto, random, clock, maxQueuedBytes, meshKey, pingIntervalMs } = this.#options;
    const handler = this.#handler;
    return new DerpClient(
      {
        privateKey,
        publicKey,
        crypto,
        random,
        logger: this.#logger,
        maxQueuedBytes,
        meshKey,
        pingIntervalMs,
        handler: {
          onReady: () => {
            onReady();
            this.#becameReady();
          },
          onPacket: (source, bytes, offset, length) => handler.onPacket(this.regionId, source, bytes, offset, length),
          onPeerGone: (key) => handler.onPeerGone?.(key),
          onPeerPresent: (key) => handler.onPeerPresent?.(key),
          onHealth: (text) => handler.onHealth?.(text),
          onRestarting: (reconnectInMs) => this.#policy.restarting(reconnectInMs),
          onPong: (rttMs) => {
            this.#latencyMs = rttMs;
            for (const answered of [...this.#pingWaiters]) answered(rttMs);
            handler.onPong?.(rttMs);
          },
          onClosed: (reason) => attempt.abort(this.#protocolError(reason)),
        },
      },
      clock(),
    );
  }

  #becameReady(): void {
    const preferred = this.#policy.ready(this.#options.clock());
    if (preferred !== undefined) this.#reportWebSocket(preferred);
    const client = this.#client!;
    if (this.#preferred) client.notePreferred(true);
    if (this.#options.meshKey !== undefined) client.watchConnections();
    client.ping(this.#options.clock());
    this.#handler.onReady?.(client.serverKey!);
    this.#setState("ready", undefined);
  }

  #received(chunk: Uint8Array): void {
    const client = this.#client;
    if (client === undefined) return;
    if (!client.ready) this.#policy.answered();
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
    this.#transport?.destroy();
    this.#transport = undefined;
    this.#client?.close();
    this.#client = undefined;
    this.#blocked = false;
    this.#latencyMs = undefined;
    const gone = this.#error("ERR_RELAY_GONE", "the connection ended");
    for (const answered of [...this.#pingWaiters]) answered(gone);
  }

  /** Sends a DERP ping now. The connection is given up if the answer takes longer than `patienceMs`, by default the client's own limit. */
  #demandAnswer(client: DerpClient, patienceMs?: number): void {
    client.ping(this.#options.clock(), patienceMs);
    this.#scheduleFlush();
    this.#armTimer();
  }

  /** Arriving data moves the deadline away; the timer then fires early once and is armed again. */
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

  #setState(state: RelayState, error: EngineError | undefined): void {
    this.#lastError = error;
    if (this.#state === state) return;
    this.#state = state;
    this.#handler.onStateChange?.(state, error);
  }

  #gone(error: Error | undefined): EngineError {
    if (error !== undefined) return toEngineError(error, `relay region ${this.regionId}`);
    return this.#error("ERR_RELAY_GONE", "closed by the relay");
  }

  #protocolError(reason: DerpCloseReason): EngineError {
    switch (reason) {
      case "handshake-timeout":
      case "read-timeout":
      case "ping-timeout":
        return this.#error("ERR_TIMEOUT", `silent for too long (${reason})`);
      case "closed":
        return new EngineError("ERR_CLOSED", `relay region ${this.regionId}: closed`);
      case "not-a-relay":
      case "bad-server-info":
      case "malformed-frame":
      case "frame-too-long":
        return this.#error("ERR_RELAY_PROTOCOL", `does not speak DERP (${reason})`);
    }
  }

  #error(code: ErrorCode, what: string): EngineError {
    return new EngineError(code, `relay region ${this.regionId}: ${what}`, { retryable: true });
  }
}
