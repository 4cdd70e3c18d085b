import { setTimeout as sleep } from "node:timers/promises";
import { EngineError } from "../../base/errors.ts";
import { addMs, type Instant } from "../../base/instant.ts";
import type { NodePrivateKey, NodePublicKey } from "../../base/keys.ts";
import type { Logger } from "../../base/ports.ts";
import { type DerpMap, hasRelay } from "../../derp/map.ts";
import { monotonicNow } from "../host/clock.ts";
import { nodeCryptoSuite, nodeRandom } from "../host/crypto-suite.ts";
import { RelayConnection, type RelayState } from "./relay-connection.ts";
import type { RelayDialer } from "./relay-dialer.ts";

/** A connection to a region that is not our home is closed when nothing was sent to it for this long. */
const IDLE_CLOSE_MS = 60_000;
const IDLE_CHECK_MS = 15_000;
const READY_POLL_MS = 10;
/**
 * A connection on which we sent, but heard nothing for this long, has to prove that it is alive. The kernel would retransmit
 * into a dead path for minutes.
 */
const SILENCE_MS = 5_000;
const HEARD_LATELY_MS = 1_000;

export interface RelaySetOptions {
  readonly privateKey: NodePrivateKey;
  readonly publicKey: NodePublicKey;
  readonly dialer: RelayDialer;
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  readonly forceWebSocket: boolean;
  readonly logger: Logger;
}

export interface RelaySetHandler {
  onPacket(regionId: number, source: Uint8Array, bytes: Uint8Array, offset: number, length: number): void;
  onBatchEnd(): void;
  onPeerGone(regionId: number, peer: Uint8Array): void;
  /** A congested connection takes packets again. */
  onDrain(): void;
  onState(regionId: number, state: RelayState, error: EngineError | undefined): void;
  onForcedWebSocket(regionId: number, reason: string): void;
}

/**
 * Our connections to relays: the home region's always, others while something is sent to a peer that lives there. A
 * packet for a region that is still being connected is dropped: the layers above send again.
 */
export class RelaySet {
  readonly #options: RelaySetOptions;
  readonly #handler: RelaySetHandler;
  readonly #open = new Map<number, Entry>();
  readonly #idleTimer: NodeJS.Timeout;
  #map: DerpMap | undefined;
  #home = 0;
  #closed = false;

  constructor(options: RelaySetOptions, handler: RelaySetHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#idleTimer = setInterval(() => this.#closeIdle(), IDLE_CHECK_MS);
    this.#idleTimer.unref();
  }

  /** Regions that are no longer in the map lose their connection; changed ones use their new nodes from the next dial on. */
  setMap(map: DerpMap): void {
    this.#map = map;
    for (const [regionId, { connection }] of this.#open) {
      const region = map.regions.get(regionId);
      if (region !== undefined && hasRelay(region)) connection.updateRegion(region);
      else this.#close(regionId);
    }
    if (this.#home !== 0) this.#connect(this.#home);
  }

  setHome(regionId: number): void {
    this.#home = regionId;
    this.#connect(regionId);
    for (const [id, { connection }] of this.#open) connection.notePreferred(id === regionId);
  }

  get homeState(): RelayState {
    return this.#open.get(this.#home)?.connection.state ?? "closed";
  }

  /** Why the home relay is not connected, as far as known. */
  get homeError(): EngineError | undefined {
    return this.#open.get(this.#home)?.connection.lastError;
  }

  /** True while the connection to that region is full: senders should wait rather than lose packets. */
  isCongested(regionId: number): boolean {
    return this.#open.get(regionId)?.connection.congested ?? false;
  }

  send(regionId: number, peer: NodePublicKey, bytes: Uint8Array, offset: number, length: number): void {
    const entry = this.#open.get(regionId) ?? this.#connect(regionId);
    if (entry === undefined) return;
    entry.lastSentAt = monotonicNow();
    entry.connection.send(peer, bytes, offset, length);
  }

  /**
   * One round trip through the relay of a region, connecting to it first if need be. Rejects with ERR_INVALID_ARGUMENT for a
   * region without relay, ERR_RELAY_GONE, or `signal.reason`.
   */
  async ping(regionId: number, signal: AbortSignal): Promise<number> {
    const entry = this.#connect(regionId);
    if (entry === undefined) throw new EngineError("ERR_INVALID_ARGUMENT", `region ${regionId} has no relay`);
    while (entry.connection.state !== "ready") await sleep(READY_POLL_MS, undefined, { signal });
    entry.lastSentAt = monotonicNow();
    return entry.connection.ping({ signal });
  }

  /** Why the connection to a region is not there, as far as known. */
  errorOf(regionId: number): EngineError | undefined {
    return this.#open.get(regionId)?.connection.lastError;
  }

  /** Writes what this turn queued. */
  flush(): void {
    for (const { connection } of this.#open.values()) connection.flush();
  }

  /** The network below changed: waiting connections try now, open ones prove that they are alive. */
  reconnectNow(): void {
    for (const { connection } of this.#open.values()) connection.reconnectNow();
  }

  /**
   * Something casts doubt on what we take for connections: each gives a sign of life within seconds, or is dialled again.
   * Those that were heard a moment ago are not asked.
   */
  prove(): void {
    const heardSince = monotonicNow() - HEARD_LATELY_MS;
    for (const { connection, lastHeardAt } of this.#open.values())
      if (connection.state !== "ready" || lastHeardAt < heardSince) connection.prove();
  }

  /** Our address is gone or we slept: every connection is dead, whether it knows it or not. */
  redial(): void {
    for (const { connection } of this.#open.values()) connection.redial();
  }

  /** Call about once a second: finds connections that are dead without having said so. */
  checkSilence(): void {
    const now = monotonicNow();
    for (const entry of this.#open.values()) {
      if (entry.lastSentAt <= entry.lastHeardAt || now - entry.lastHeardAt < SILENCE_MS) continue;
      entry.lastHeardAt = now; // one question at a time
      entry.connection.reconnectNow();
    }
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#idleTimer);
    for (const regionId of [...this.#open.keys()]) this.#close(regionId);
  }

  #connect(regionId: number): Entry | undefined {
    const known = this.#open.get(regionId);
    const region = this.#map?.regions.get(regionId);
    if (known !== undefined || region === undefined || !hasRelay(region) || this.#closed) return known;
    let entry: Entry | undefined;
    const connection = new RelayConnection({
      region,
      privateKey: this.#options.privateKey,
      publicKey: this.#options.publicKey,
      crypto: nodeCryptoSuite,
      random: nodeRandom,
      clock: monotonicNow,
      dial: this.#options.dialer,
      headers: this.#options.headers,
      forceWebSocket: this.#options.forceWebSocket,
      onForcedWebSocket: (reason) => this.#handler.onForcedWebSocket(regionId, reason),
      logger: this.#options.logger,
      handler: {
        onPacket: this.#handler.onPacket,
        onBatchEnd: () => {
          if (entry !== undefined) entry.lastHeardAt = monotonicNow();
          this.#handler.onBatchEnd();
        },
        onPeerGone: (peer) => this.#handler.onPeerGone(regionId, peer),
        onDrain: this.#handler.onDrain,
        onStateChange: (state, error) => this.#handler.onState(regionId, state, error),
      },
    });
    connection.notePreferred(regionId === this.#home);
    entry = { connection, lastSentAt: monotonicNow(), lastHeardAt: monotonicNow() };
    this.#open.set(regionId, entry);
    return entry;
  }

  #close(regionId: number): void {
    const entry = this.#open.get(regionId);
    this.#open.delete(regionId);
    // Closing rejects nothing and ends soon; nobody waits for it.
    entry?.connection.close().catch((error: unknown) => {
      this.#options.logger.log("warn", "closing a relay connection failed", { region: regionId, error: String(error) });
    });
  }

  #closeIdle(): void {
    const now = monotonicNow();
    for (const [regionId, { lastSentAt }] of this.#open) {
      if (regionId !== this.#home && addMs(lastSentAt, IDLE_CLOSE_MS) < now) this.#close(regionId);
    }
  }
}

interface Entry {
  readonly connection: RelayConnection;
  lastSentAt: Instant;
  lastHeardAt: Instant;
}
