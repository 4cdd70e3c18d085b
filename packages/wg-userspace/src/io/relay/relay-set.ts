import { abortable } from "../../async/abort.ts";
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
/**
 * A connection on which we sent but received nothing for this long has to answer. The kernel alone would retransmit
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
  /** A congested connection accepts packets again. */
  onDrain(): void;
  onState(regionId: number, state: RelayState, error: EngineError | undefined): void;
  onForcedWebSocket(regionId: number, reason: string): void;
}

/** What the owner of a driver decides and learns about relays. */
export interface Relays {
  /** The relay map to use from now on. Connections to relays that are no longer in it are closed. */
  setMap(map: DerpMap): void;
  /** Our home relay: always connected, peers find us there. */
  setHome(regionId: number): void;
  readonly homeState: RelayState;
  /** Why the home relay is not connected, as far as known. */
  readonly homeError: EngineError | undefined;
  /**
   * One round trip through the relay of a region in ms, connecting to it first if need be. Rejects with
   * ERR_INVALID_ARGUMENT for a region without relay, ERR_RELAY_GONE, or `signal.reason`.
   */
  ping(regionId: number, options: { readonly signal: AbortSignal }): Promise<number>;
  /** Connects to the relay of a region; closed again when nothing is sent to it for a minute. */
  dial(regionId: number): void;
  /** Why there is no connection to the relay of a region, as far as known. */
  errorOf(regionId: number): EngineError | undefined;
  /** Dials the relay of a region again: behind a balancer another server may answer. */
  redialRegion(regionId: number): void;
  /**
   * The connections are in doubt: each has to answer within seconds, or is dialled again. Those that received something a
   * moment ago are left alone.
   */
  prove(): void;
}

/**
 * Our connections to relays: to the home region always, to others while packets are sent to a peer whose home they are. A
 * packet for a region that is still being connected is dropped; the layers above send it again.
 */
export class RelaySet implements Relays {
  readonly #options: RelaySetOptions;
  readonly #handler: RelaySetHandler;
  readonly #open = new Map<number, Entry>();
  /** Runs while there are connections that may be idle. */
  #idleTimer: NodeJS.Timeout | undefined;
  #map: DerpMap | undefined;
  #home = 0;
  #closed = false;

  constructor(options: RelaySetOptions, handler: RelaySetHandler) {
    this.#options = options;
    this.#handler = handler;
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
    this.#watchIdle();
  }

  get homeState(): RelayState {
    return this.#open.get(this.#home)?.connection.state ?? "closed";
  }

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

  async ping(regionId: number, { signal }: { readonly signal: AbortSignal }): Promise<number> {
    const entry = this.#connect(regionId);
    if (entry === undefined) throw new EngineError("ERR_INVALID_ARGUMENT", `region ${regionId} has no relay`);
    if (entry.connection.state !== "ready") await this.#ready(entry, signal);
    entry.lastSentAt = monotonicNow();
    return entry.connection.ping({ signal });
  }

  dial(regionId: number): void {
    this.#connect(regionId);
  }

  errorOf(regionId: number): EngineError | undefined {
    return this.#open.get(regionId)?.connection.lastError;
  }

  /** Writes what this turn queued. */
  flush(): void {
    for (const { connection } of this.#open.values()) connection.flush();
  }

  /** The network below changed: waiting connections are dialled now, open ones have to answer. */
  reconnectNow(): void {
    for (const { connection } of this.#open.values()) connection.reconnectNow();
  }

  redialRegion(regionId: number): void {
    this.#open.get(regionId)?.connection.redial();
  }

  prove(): void {
    const heardSince = monotonicNow() - HEARD_LATELY_MS;
    for (const { connection, lastHeardAt } of this.#open.values())
      if (connection.state !== "ready" || lastHeardAt < heardSince) connection.prove();
  }

  /** Our address is gone or the machine slept, so every connection is dead even if its socket does not report it. */
  redial(): void {
    for (const { connection } of this.#open.values()) connection.redial();
  }

  /** Call about once a second while packets are sent: finds dead connections that their sockets do not report. */
  checkSilence(): void {
    const now = monotonicNow();
    for (const entry of this.#open.values()) {
      if (entry.lastSentAt <= entry.lastHeardAt || now - entry.lastHeardAt < SILENCE_MS) continue;
      entry.lastHeardAt = now; // one ping at a time
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
        onStateChange: (state, error) => {
          this.#handler.onState(regionId, state, error);
          for (const waiter of [...(entry?.waiters ?? [])]) waiter(state);
        },
      },
    });
    connection.notePreferred(regionId === this.#home);
    entry = { connection, lastSentAt: monotonicNow(), lastHeardAt: monotonicNow(), waiters: new Set() };
    this.#open.set(regionId, entry);
    this.#watchIdle();
    return entry;
  }

  async #ready(entry: Entry, signal: AbortSignal): Promise<void> {
    await abortable<void>(signal, (resolve, reject) => {
      const waiter = (state: RelayState): void => {
        if (state === "ready") resolve();
        else if (state === "closed")
          reject(new EngineError("ERR_RELAY_GONE", "the relay is not used any more", { retryable: true }));
      };
      entry.waiters.add(waiter);
      return () => entry.waiters.delete(waiter);
    });
  }

  #close(regionId: number): void {
    const entry = this.#open.get(regionId);
    this.#open.delete(regionId);
    // Never rejects and ends soon, so nothing waits for it.
    entry?.connection.close().catch((error: unknown) => {
      this.#options.logger.log("warn", "closing a relay connection failed", { region: regionId, error: String(error) });
    });
  }

  #closeIdle(): void {
    const now = monotonicNow();
    for (const [regionId, { lastSentAt }] of this.#open) {
      if (regionId !== this.#home && addMs(lastSentAt, IDLE_CLOSE_MS) < now) this.#close(regionId);
    }
    this.#watchIdle();
  }

  /** The home is never idle, so an agent that is connected only there is not woken for this check. */
  #watchIdle(): void {
    const isNeeded = [...this.#open.keys()].some((regionId) => regionId !== this.#home);
    if (isNeeded && this.#idleTimer === undefined) {
      this.#idleTimer = setInterval(() => this.#closeIdle(), IDLE_CHECK_MS);
      this.#idleTimer.unref();
    } else if (!isNeeded) {
      clearInterval(this.#idleTimer);
      this.#idleTimer = undefined;
    }
  }
}

interface Entry {
  readonly connection: RelayConnection;
  lastSentAt: Instant;
  lastHeardAt: Instant;
  /** Called at every change of state. */
  readonly waiters: Set<(state: RelayState) => void>;
}
