import { createPacketCipher } from "../aead/cipher.ts";
import { abortable } from "../async/abort.ts";
import { EngineError } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import { type AddrPort, type IpPrefix, parseIp, prefixContains } from "../base/ip.ts";
import type { NodePublicKey } from "../base/keys.ts";
import { type Logger, type PacketCipher, silentLogger } from "../base/ports.ts";
import { DEFAULT_MTU, Engine, type EngineConfig, type EngineEvent, type EnginePeer } from "../engine.ts";
import type { PongResult } from "../magicsock/discovery.ts";
import { type UdpPath, udpPath } from "../magicsock/path.ts";
import { looksLikeStun } from "../stun/message.ts";
import { monotonicNow, unixMsAt, WakeDetector } from "./host/clock.ts";
import { nodeCryptoSuite, nodeRandom } from "./host/crypto-suite.ts";
import { AddressWatch, ownAddresses } from "./host/interfaces.ts";
import type { RelayState } from "./relay/relay-connection.ts";
import type { RelayDialer } from "./relay/relay-dialer.ts";
import { RelaySet, type Relays } from "./relay/relay-set.ts";
import type { DatagramSocket } from "./udp/datagram-socket.ts";
import { nativeAead } from "./udp/udp-batch.ts";
import { bindUdpSocket } from "./udp/udp-socket.ts";

/** Datagrams handled before the batch is opened. */
const RECEIVE_BATCH = 32;
/**
 * How often interfaces, relays and the clock are checked: while traffic flows, with idle peers, and without peers. The last one
 * is the longest that a server may be silent: its signs of life, every 15 s, cause a check ({@link Driver.awake}), so that no
 * timer fires for it while the server is well.
 */
const CHECK_BUSY_MS = 1_000;
const CHECK_MS = 5_000;
const CHECK_ALONE_MS = 19_000;
/** A timer that fires this much too early costs less than setting it again after every turn. */
const EARLY_MS = 500;
/** Header and tag of a transport message. */
const WIREGUARD_OVERHEAD_BYTES = 32;
/**
 * Slots for packets of Ethernet paths, of jumbo ones, and of the loopback interface. None is a multiple of 4 KiB: slots that begin
 * at the same place in their pages would compete for the same few lines of the cache.
 */
const STRIDES = [1536, 9216, 66_112];

export interface DriverOptions extends EngineConfig {
  /** Local UDP port, 0 for any; without it there is no UDP socket, only relays. */
  readonly udpPort?: number | undefined;
  readonly relay: {
    readonly dialer: RelayDialer;
    /** Extra headers of relay requests; called at every dial. */
    readonly headers?: (() => Promise<Readonly<Record<string, string>>>) | undefined;
    readonly forceWebSocket?: boolean | undefined;
  };
  readonly logger?: Logger | undefined;
}

export type StunListener = (datagram: Uint8Array, address: string, port: number) => void;

export interface DriverEvents {
  /** What the engine reports about peers. */
  onEngineEvent?(event: EngineEvent): void;
  onRelayState?(regionId: number, state: RelayState, error: EngineError | undefined): void;
  /** The relay of a region reports that a peer is not connected to it; the key is borrowed. */
  onRelayPeerGone?(regionId: number, peer: Uint8Array): void;
  /** The relay of a region could only be reached by WebSocket; `reason` says why. */
  onForcedWebSocket?(regionId: number, reason: string): void;
  /** The machine slept or the process was stopped for about this long. */
  onWake?(awayMs: number): void;
  /** What was known about the network is stale. */
  onNetworkChange?(change: NetworkChange): void;
}

/**
 * What happened to our network.
 *
 * - `moved`: an address of ours is gone, or the machine slept. What was known is invalid, and connections of the host are dead.
 * - `added`: there is another address. What was known is true but incomplete.
 * - `new-port`: the same addresses with another UDP port. Endpoints and mappings are invalid; TCP connections of the host
 *   continue.
 */
export type NetworkChange = "moved" | "added" | "new-port";

/**
 * Runs one {@link Engine} on Node: a UDP socket, connections to relays, one timer. Owns all of them until `close`. A turn is:
 * hand over what arrived, flush once, re-arm the timer. Calls that change the engine go through this class, which passes the time
 * and takes a turn afterwards; calls that only read it use {@link engine}. Sockets in the tunnel are in `sockets/`.
 */
export class Driver implements AsyncDisposable {
  readonly cipher: PacketCipher;
  readonly engine: Engine;
  readonly #events: DriverEvents;
  readonly #logger: Logger;
  readonly #relays: RelaySet;
  /** Map, home and state of the relays. */
  readonly relays: Relays;
  readonly #wakeDetector = new WakeDetector();
  #checkTimer: NodeJS.Timeout | undefined;
  #checkedAt = monotonicNow();
  /** The timer fires at least this often to check: the longest time between two checks. */
  #checkWaitMs = CHECK_ALONE_MS;
  readonly #stunListeners = new Set<StunListener>();
  readonly #turn = (): void => this.#runTurn();
  readonly #wake = (): void => this.#schedule();
  #udp: DatagramSocket | undefined;
  /** The local UDP port that the owner wants, 0 for any; undefined for no UDP. */
  readonly #wantedPort: number | undefined;
  #isBinding = false;
  /** Why no socket could be bound, as it was logged last. */
  #bindProblem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #scheduled = false;
  #received = 0;
  /**
   * The time of the batch that is being handed over; nothing interrupts it, so the clock is not read for each of its
   * packets.
   */
  #turnAt: Instant | undefined;
  #closed = false;
  readonly #addresses = new AddressWatch(ownAddresses());

  /** Opens the sockets. Fails with ERR_ADDRESS_IN_USE when the wanted UDP port is taken. */
  static async open(options: DriverOptions, events: DriverEvents = {}): Promise<Driver> {
    const driver = new Driver(options, events);
    if (options.udpPort !== undefined) {
      try {
        driver.#udp = await driver.#bind(options.udpPort);
      } catch (error) {
        await driver.close();
        throw error;
      }
    }
    return driver;
  }

  private constructor(options: DriverOptions, events: DriverEvents) {
    this.#events = events;
    this.#wantedPort = options.udpPort;
    this.#logger = options.logger ?? silentLogger;
    const largest = (options.mtu ?? DEFAULT_MTU) + WIREGUARD_OVERHEAD_BYTES;
    const stride = STRIDES.find((bytes) => bytes >= largest) ?? STRIDES.at(-1)!;
    this.cipher = createPacketCipher({ stride }, nativeAead());
    this.engine = new Engine(
      options,
      { crypto: nodeCryptoSuite, random: nodeRandom, cipher: this.cipher, unixMs: unixMsAt, logger: this.#logger },
      {
        sendDatagram: (to, slot, length) => this.#sendDatagram(to, slot, length),
        sendRelay: (region, peer, bytes, offset, length) => this.#relays.send(region, peer, bytes, offset, length),
        sendProbe: (to, packet, ttl) => this.#udp?.sendProbe(to, packet, ttl),
        congested: () => this.#udp !== undefined && this.#udp.waiting > 0,
        relayCongested: (region) => this.#relays.isCongested(region),
        event: (event) => this.#events.onEngineEvent?.(event),
      },
      monotonicNow(),
    );
    this.#relays = new RelaySet(
      {
        privateKey: options.privateKey,
        publicKey: this.engine.publicKey,
        dialer: options.relay.dialer,
        headers: options.relay.headers ?? (async () => ({})),
        forceWebSocket: options.relay.forceWebSocket ?? false,
        logger: this.#logger,
      },
      {
        onPacket: (region, source, bytes, offset, length) =>
          this.engine.handleRelayPacket(region, source, bytes, offset, length, this.#batchTime()),
        onBatchEnd: this.#turn,
        onPeerGone: (region, peer) => {
          this.engine.handleRelayPeerGone(region, peer, this.#batchTime());
          this.#events.onRelayPeerGone?.(region, peer);
        },
        onDrain: this.#wake,
        onState: (region, state, error) => this.#relayState(region, state, error),
        onForcedWebSocket: (region, reason) => this.#events.onForcedWebSocket?.(region, reason),
      },
    );
    this.relays = this.#relays;
    this.#checkLater();
  }

  /** Local UDP ports by family; undefined without a socket of that family. */
  get udpPorts(): { readonly ipv4: number | undefined; readonly ipv6: number | undefined } {
    return this.#udp?.ports ?? { ipv4: undefined, ipv6: undefined };
  }

  /** {@link Engine.setOwnEndpoints} */
  setOwnEndpoints(endpoints: readonly AddrPort[], guesses: readonly AddrPort[] = []): void {
    this.engine.setOwnEndpoints(endpoints, guesses, monotonicNow());
    this.#schedule();
  }

  /** Sends STUN from the socket that carries WireGuard, whose mapping peers can use. */
  sendStun(to: AddrPort, packet: Uint8Array): void {
    this.#udp?.sendProbe(udpPath(to), packet, undefined);
  }

  /** Calls `listener` for every STUN message that arrives, until the returned function is called. `datagram` is borrowed. */
  onStun(listener: StunListener): () => void {
    this.#stunListeners.add(listener);
    return () => this.#stunListeners.delete(listener);
  }

  /**
   * One disco ping, through the relay and directly; the first pong wins. Rejects with ERR_NO_PEER when nothing could be sent,
   * or with `signal.reason`.
   */
  async pingPeer(peer: NodePublicKey, options: { readonly signal: AbortSignal }): Promise<PongResult> {
    return abortable(options.signal, (resolve, reject) => {
      if (this.engine.pingPeer(peer, resolve, monotonicNow())) this.#schedule();
      else
        reject(new EngineError("ERR_NO_PEER", "the peer is not known yet, or cannot be reached", { retryable: true }));
      return undefined;
    });
  }

  /**
   * A disco ping on the direct path alone; `onPong` may never be called. Returns false if there is none and none answered lately.
   */
  pingDirect(peer: NodePublicKey, onPong: (result: PongResult) => void): boolean {
    const sent = this.engine.pingDirect(peer, onPong, monotonicNow());
    this.#schedule();
    return sent;
  }

  setPeer(peer: EnginePeer): void {
    this.engine.setPeer(peer, monotonicNow());
    this.#schedule();
  }

  removePeer(publicKey: NodePublicKey): void {
    this.engine.removePeer(publicKey, monotonicNow());
    this.#schedule();
  }

  /** Resets every connection to these addresses: the peer that had them is known to be gone. */
  abortConnections(prefixes: readonly IpPrefix[]): void {
    this.engine.netstack.abortConnections((remote) => prefixes.some((prefix) => prefixContains(prefix, remote)));
    this.#schedule();
  }

  startHandshake(publicKey: NodePublicKey): void {
    this.engine.startHandshake(publicKey, monotonicNow());
    this.#schedule();
  }

  /** Retransmits everything unacknowledged now, and checks all paths: {@link Engine.networkChanged}. */
  networkChanged(moved = false): void {
    if (moved) this.#relays.redial();
    else this.#relays.reconnectNow();
    this.engine.networkChanged(moved, monotonicNow());
    this.#schedule();
  }

  /** Takes another UDP port. The caller informs peers of the new endpoints after `onNetworkChange`. */
  async rebind(): Promise<void> {
    if (this.#udp === undefined || this.#closed) return;
    this.#udp.close();
    await this.#bindAgain(0);
  }

  /** Replaces a socket that is lost or closed. Without one, the checks of the surroundings try again. */
  async #bindAgain(port: number): Promise<void> {
    this.#udp = undefined;
    this.#isBinding = true;
    try {
      const socket = await this.#bind(port);
      if (this.#closed) socket.close();
      else this.#udp = socket;
    } finally {
      this.#isBinding = false;
    }
    this.#bindProblem = undefined;
    if (!this.#closed) this.#portChanged();
  }

  /** The port that the owner chose may be the one that the router forwards, so it comes before any other. */
  #recoverUdp(): void {
    if (this.#wantedPort === undefined || this.#udp !== undefined || this.#isBinding || this.#closed) return;
    this.#bindAgain(this.#wantedPort)
      .catch(() => this.#bindAgain(0))
      .catch((error: unknown) => this.#bindFailed(error));
  }

  #portChanged(): void {
    this.engine.portChanged(monotonicNow());
    this.#schedule();
    this.#events.onNetworkChange?.("new-port");
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The process is awake for another reason: checks made now save a wake-up of their own. */
  awake(): void {
    if (this.#closed || monotonicNow() - this.#checkedAt < this.#checkWaitMs / 2) return;
    clearTimeout(this.#checkTimer);
    this.#checkSurroundings();
    this.#checkLater();
  }

  /** Ends a turn soon. For callers that used `engine.netstack` directly. */
  wake(): void {
    this.#schedule();
  }

  /** Sends what is due, resets included, and closes sockets and relays without waiting for answers. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#scheduled) this.#runTurn();
    this.#closed = true;
    clearTimeout(this.#checkTimer);
    clearTimeout(this.#timer);
    this.#udp?.close();
    this.#relays.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #bind(port: number): Promise<DatagramSocket> {
    return await bindUdpSocket(
      { port, cipher: this.cipher },
      {
        onDatagram: (address, from, datagram) => this.#datagram(address, from, datagram),
        onTransport: (from, slot, length) => this.engine.handleTransportSlot(from, slot, length, this.#batchTime()),
        pathOf: (address, from) => this.engine.udpPathFrom(address, from, parseIp),
        onTooLong: () => this.engine.drops.count("too-long"),
        onBatchEnd: this.#turn,
        onDrain: this.#wake,
        onError: (error) => {
          this.#udp = undefined;
          this.#logger.log("warn", "UDP socket lost, binding again", { error: error.message });
          this.#recoverUdp();
        },
      },
    );
  }

  #bindFailed(error: unknown): void {
    const problem = String(error);
    if (problem === this.#bindProblem) return;
    this.#bindProblem = problem;
    this.#logger.log("error", "no UDP socket: there are no direct paths until one can be bound", { error: problem });
  }

  #datagram(address: string, port: number, datagram: Uint8Array): void {
    if (looksLikeStun(datagram)) {
      for (const listener of this.#stunListeners) listener(datagram, address, port);
      return;
    }
    const path = this.engine.udpPathFrom(address, port, parseIp);
    if (path === undefined) return;
    const now = monotonicNow();
    if (this.#turnAt !== undefined) this.#turnAt = now; // in the middle of a batch: later packets must not get an earlier time
    this.engine.handleDatagram(path, datagram, now);
    if (++this.#received >= RECEIVE_BATCH) this.#runTurn();
    else this.#schedule();
  }

  #sendDatagram(to: UdpPath, slot: number, length: number): void {
    if (this.#udp === undefined) {
      this.engine.drops.count("no-path");
      this.cipher.tx.release(slot);
    } else this.#udp.send(to, slot, length);
  }

  #relayState(regionId: number, state: RelayState, error: EngineError | undefined): void {
    this.#events.onRelayState?.(regionId, state, error);
    if (state === "ready") {
      this.engine.relayReady(monotonicNow());
      this.#schedule();
    }
  }

  /** One time for all packets of a batch, which ends with a turn of its own. */
  #batchTime(): Instant {
    this.#turnAt ??= monotonicNow();
    return this.#turnAt;
  }

  #checkLater(): void {
    this.#checkWaitMs = this.engine.peerCount > 0 ? CHECK_MS : CHECK_ALONE_MS;
    this.#checkTimer = setTimeout(() => {
      this.#checkSurroundings();
      if (!this.#closed) this.#checkLater();
    }, this.#checkWaitMs);
    this.#checkTimer.unref();
  }

  /** Checks whether the machine slept, the network changed, or a relay is silent. */
  #checkSurroundings(): void {
    if (this.#closed) return;
    this.#checkedAt = monotonicNow();
    this.#relays.checkSilence();
    this.#recoverUdp();
    const change = this.#addresses.look(ownAddresses(), this.#checkedAt);
    if (change !== undefined) {
      const isUnsteady = change === "unsteady";
      this.#logger.log(isUnsteady ? "debug" : "info", "network interfaces changed", { change });
      this.networkChanged(change === "moved");
      if (!isUnsteady) this.#events.onNetworkChange?.(change);
    }
    const away = this.#wakeDetector.tick(this.#checkWaitMs);
    if (away === 0) return;
    this.#logger.log("info", "woke up", { awayMs: Math.round(away) });
    this.#events.onWake?.(away);
    this.networkChanged(true);
    this.#events.onNetworkChange?.("moved");
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  #runTurn(): void {
    this.#scheduled = false;
    this.#received = 0;
    this.#turnAt = undefined;
    if (this.#closed) return;
    const now = monotonicNow();
    // A turn of its own, since the owner may react by closing what this turn uses.
    if (now - this.#checkedAt >= CHECK_BUSY_MS) {
      this.#checkedAt = now;
      setImmediate(() => this.#checkSurroundings());
    }
    let due = this.engine.nextTimeout();
    if (due !== undefined && due <= now) this.engine.handleTimeout(now);
    let more = this.engine.flush(now);
    due = this.engine.nextTimeout();
    if (due !== undefined && due <= now) {
      // What was sent may have made something due at once, such as the heartbeat beside the first data: it leaves with
      // the same turn.
      this.engine.handleTimeout(now);
      more = this.engine.flush(now) || more;
      due = this.engine.nextTimeout();
    }
    this.#relays.flush();
    this.#udp?.flush();
    // If a carrier is full, the next turn starts when it drains.
    if (more && !(this.#udp !== undefined && this.#udp.waiting > 0)) this.#schedule();
    this.#rearm(due, now);
  }

  /** One timer for everything. A deadline that is a little later leaves it as it is: an early turn is harmless. */
  #rearm(due: Instant | undefined, now: Instant): void {
    if (due === undefined) return;
    const at = this.#timerAt;
    if (this.#timer !== undefined && at > now && at <= due && due < at + EARLY_MS) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const deadline = this.engine.nextTimeout(true);
    if (deadline === undefined) return;
    this.#timerAt = deadline;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#runTurn();
      },
      Math.max(1, Math.ceil(deadline - now)),
    );
  }
}
