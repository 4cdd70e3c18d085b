import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { hexEncode } from "wg-userspace/base/bytes";
import type { Instant } from "wg-userspace/base/instant";
import { type CryptoSuite, type Logger, type RandomSource, silentLogger } from "wg-userspace/base/ports";
import { CLIENT_INFO_MAX_BYTES, PROTOCOL_VERSION } from "wg-userspace/derp/handshake";
import type { MeshRelay } from "wg-userspace/derp/mesh-link";
import { DerpRelay } from "wg-userspace/derp/relay";
import type { ConnectionId, RelayLimits, RelayMetrics } from "wg-userspace/derp/relay-types";
import { type WebSocket, WebSocketServer } from "ws";
import { pause } from "../base/gradual-end.ts";
import { sendLastAnswer } from "../base/last-answer.ts";
import { Admission, type AdmissionLimits, type Refusal } from "./admission.ts";
import { RelayDrain } from "./relay-drain.ts";
import { RawRelaySocket, type RelaySocket, WebSocketRelaySocket, type WriteDone } from "./relay-socket.ts";

export const DERP_PATH = "/derp";
export const LATENCY_PATH = "/derp/latency-check";

export interface RelayListenerLimits extends RelayLimits, AdmissionLimits {}

export interface RelayListenerOptions {
  readonly privateKey: Uint8Array;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  readonly clock: () => Instant;
  /** Whether a client may use the relay; the key is borrowed. If absent, every client may. */
  readonly admit?: (publicKey: Uint8Array) => boolean;
  /** Keeps clients that are not admitted until the handshake's deadline, in case `admitHeld` is called. */
  readonly holdUnknown?: boolean;
  readonly logger?: Logger;
  readonly limits?: Partial<RelayListenerLimits>;
  /** Refuses the raw upgrade, so that clients return with WebSocket. */
  readonly webSocketOnly?: boolean;
  readonly meshKey?: string | undefined;
  /** Whether a sibling of the mesh is known at this address; some connections from there are exempt from the limits. */
  readonly isSibling?: (address: string) => boolean;
  /**
   * The source address used for the limits; behind a trusted proxy, the one that the proxy reports. Default: the socket's remote
   * address.
   */
  readonly addressOf?: (request: IncomingMessage) => string;
}

export interface RelayListenerMetrics {
  readonly relay: Readonly<RelayMetrics>;
  readonly rawConnections: number;
  readonly webSocketConnections: number;
  readonly stalled: number;
  readonly refused: Readonly<Partial<Record<Refusal | "not-an-upgrade" | "shutting-down", number>>>;
}

const DEFAULT_ADMISSION: AdmissionLimits = {
  connections: 20_000,
  connectionsPerAddress: 2_000,
  handshakesPerSecond: 50,
  handshakeBurst: 500,
};

/** A write that the client does not accept within this time ends the connection. */
const WRITE_STALL_MS = 2_000;
/** Output handed to a socket at one time: grows while the client keeps up, shrinks while it does not. */
const MIN_CHUNK_BYTES = 4 * 1024;
const FIRST_CHUNK_BYTES = 16 * 1024;
const MAX_CHUNK_BYTES = 64 * 1024;
const SLOW_DRAIN_MS = 250;
/** Maximum number of bytes for one connection per turn. */
const TURN_BYTES = 512 * 1024;
/** WebSocket messages are reassembled before they reach us; the largest legal single frame is ClientInfo. */
const MAX_MESSAGE_BYTES = CLIENT_INFO_MAX_BYTES + 1024;
const TCP_KEEP_ALIVE_MS = 60_000;
const SHUTDOWN_GRACE_MS = 1_000;
/** How long clients of a relay that restarts should try to return, and over how long their attempts are spread. */
const TRY_FOR_MS = 60_000;
const RETURN_WITHIN_MS = 5_000;
const DRAIN_STEP_MS = 100;
/** Connections from siblings' addresses that are accepted beyond the limits until they have proved the mesh key. */
const SIBLING_PLACES = 64;
const UPGRADE_TEXT = "DERP requires connection upgrade";

/** What a connection is counted as: a place of its address, one of those reserved for siblings, or, for a mesh member, none. */
type Place = "address" | "sibling" | "member";

interface Connection {
  readonly id: ConnectionId;
  readonly socket: RelaySocket;
  readonly address: string;
  place: Place;
  /** The handshake is done. */
  identified: boolean;
  blocked: boolean;
  blockedAt: Instant;
  chunkBytes: number;
  stall: NodeJS.Timeout | undefined;
  /** Chunks that the socket still holds, oldest first. */
  readonly writing: Uint8Array[];
  /** Called by the socket when it is done with the oldest of them. */
  readonly written: WriteDone;
}

/**
 * The relay on an existing HTTP server, which passes on `upgrade` events and the plain requests of `/derp` and
 * `/derp/latency-check`. Owns the connections that it accepted until `shutdown`.
 */
export class RelayListener implements AsyncDisposable {
  readonly #options: RelayListenerOptions;
  readonly #logger: Logger;
  readonly #relay: DerpRelay;
  readonly #admission: Admission;
  readonly #webSockets: WebSocketServer;
  readonly #connections = new Map<ConnectionId, Connection>();
  readonly #pending = new Set<ConnectionId>();
  /** During shutdown: called when a connection is gone. */
  readonly #ended = new Map<ConnectionId, () => void>();
  readonly #refused: Partial<Record<Refusal | "not-an-upgrade" | "shutting-down", number>> = {};
  readonly #flush = (): void => this.#flushPending();
  #nextId = 1;
  #flushScheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: Instant | undefined;
  #rawConnections = 0;
  #webSocketConnections = 0;
  #stalled = 0;
  #siblingPlaces = 0;
  #draining = false;
  #webSocketOnly: boolean;
  #shutdown: Promise<void> | undefined;

  constructor(options: RelayListenerOptions) {
    this.#options = options;
    this.#webSocketOnly = options.webSocketOnly ?? false;
    this.#logger = options.logger ?? silentLogger;
    this.#relay = new DerpRelay({
      privateKey: options.privateKey,
      publicKey: options.crypto.publicKey(options.privateKey),
      crypto: options.crypto,
      random: options.random,
      logger: this.#logger,
      admit: options.admit,
      holdUnknown: options.holdUnknown ?? false,
      meshKey: options.meshKey,
      limits: options.limits,
    });
    this.#admission = new Admission({ ...DEFAULT_ADMISSION, ...options.limits });
    this.#webSockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: false,
      clientTracking: false,
      maxPayload: MAX_MESSAGE_BYTES,
      handleProtocols: (offered) => (offered.has("derp") ? "derp" : false),
    });
  }

  get publicKey(): Uint8Array {
    return this.#relay.publicKey;
  }

  get metrics(): RelayListenerMetrics {
    return {
      relay: this.#relay.metrics,
      rawConnections: this.#rawConnections,
      webSocketConnections: this.#webSocketConnections,
      stalled: this.#stalled,
      refused: this.#refused,
    };
  }

  /** Where links to siblings register their clients. */
  get mesh(): MeshRelay {
    return this.#relay;
  }

  isConnected(publicKey: Uint8Array): boolean {
    return this.#relay.isConnected(publicKey);
  }

  /** Closes every connection of a key; `admit` decides whether it may return. Returns how many there were. */
  revoke(publicKey: Uint8Array): number {
    const closed = this.#relay.revoke(publicKey, this.#options.clock());
    this.#afterRelay();
    return closed;
  }

  /** Closes every client that `admit` refuses now. Returns the number of their connections. */
  revokeUnadmitted(): number {
    const closed = this.#relay.revokeUnadmitted(this.#options.clock());
    this.#afterRelay();
    return closed;
  }

  /**
   * Replaces the secret of the mesh; empty means no mesh. Members that proved the old one are closed. Returns whether the secret
   * changed.
   */
  setMeshKey(meshKey: string): boolean {
    const isNew = this.#relay.setMeshKey(meshKey, this.#options.clock());
    this.#afterRelay();
    return isNew;
  }

  /** Sets whether the raw upgrade is refused from now on. Existing connections are kept. */
  setWebSocketOnly(webSocketOnly: boolean): void {
    this.#webSocketOnly = webSocketOnly;
  }

  /** The key may use the relay from now on: clients that were held until it became known continue. */
  admitHeld(publicKey: Uint8Array): void {
    this.#relay.admitHeld(publicKey, this.#options.clock());
    this.#afterRelay();
  }

  /** For `upgrade` events on `/derp`. Takes ownership of the socket in any case. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const upgrade = request.headers.upgrade?.toLowerCase();
    const isWebSocket = upgrade === "websocket" && offersDerp(request);
    const isRaw = upgrade === "derp" && !this.#webSocketOnly;
    socket.on("error", () => socket.destroy());
    if (!isWebSocket && !isRaw) {
      this.#refuse(socket, 426, "Upgrade Required", UPGRADE_TEXT, "not-an-upgrade");
      return;
    }
    if (this.#shutdown !== undefined || this.#draining) {
      this.#refuse(socket, 503, "Service Unavailable", "relay is shutting down", "shutting-down");
      return;
    }
    const address = this.#options.addressOf?.(request) ?? request.socket.remoteAddress ?? "";
    const refusal = this.#admission.enter(address, this.#options.clock());
    const isExempt = this.#siblingPlaces < SIBLING_PLACES && this.#options.isSibling?.(address) === true;
    if (refusal !== undefined && !isExempt) {
      // 503 rather than 429: with a 4xx, clients would conclude that a proxy refuses the raw upgrade.
      this.#refuse(socket, 503, "Service Unavailable", `relay refuses connection: ${refusal}`, refusal);
      return;
    }
    const place = refusal === undefined ? "address" : "sibling";
    if (place === "sibling") this.#siblingPlaces++;
    prepare(socket);
    if (isRaw) this.#acceptRaw(request, socket, head, address, place);
    else this.#acceptWebSocket(request, socket, head, address, place);
  }

  #leavePlace(address: string, place: Place): void {
    if (place === "address") this.#admission.leave(address);
    else if (place === "sibling") this.#siblingPlaces--;
  }

  /** For the routing tables of the HTTP layer. */
  readonly upgradeRoutes = [
    {
      name: "relay",
      protocols: ["websocket", "derp"],
      match: (url: URL): boolean => url.pathname === DERP_PATH,
      handle: (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
        this.handleUpgrade(request, socket, head),
    },
  ];
  readonly requestRoutes = [
    {
      name: "relay",
      match: (url: URL, method: string): boolean =>
        (method === "GET" || method === "HEAD") && relayAnswer(url.pathname) !== undefined,
      handle: (request: IncomingMessage, response: ServerResponse): void => {
        this.handleRequest(request, response);
      },
    },
  ];

  /** For plain requests. Returns false if the path does not belong to the relay. */
  handleRequest(request: IncomingMessage, response: ServerResponse): boolean {
    const answer = relayAnswer(new URL(request.url ?? "/", "http://relay.invalid").pathname);
    if (answer === undefined) return false;
    response.writeHead(answer.status, answer.headers);
    response.end(request.method === "HEAD" ? "" : answer.body);
    return true;
  }

  /** Like handleRequest, for servers that use fetch. Undefined if the path does not belong to the relay. */
  fetch(request: Request): Response | undefined {
    const answer = relayAnswer(new URL(request.url).pathname);
    return answer === undefined
      ? undefined
      : new Response(request.method === "HEAD" ? null : answer.body, {
          status: answer.status,
          headers: answer.headers,
        });
  }

  /**
   * Accepts no further connections, and asks every client to return within seconds. Each connection is closed once it is idle, at
   * the latest after `endMs`. Connections of siblings are kept, because packets for the remaining clients arrive over them.
   */
  async drain(endMs: number): Promise<void> {
    this.#draining = true;
    this.#relay.shutdown(0, TRY_FOR_MS, RETURN_WITHIN_MS);
    this.#afterRelay();
    const ids = [...this.#connections.keys()].filter((id) => !this.#relay.isMeshMember(id));
    const { random, clock } = this.#options;
    const drain = new RelayDrain(ids, endMs, () => random.uint32() / 2 ** 32);
    const beganAt = clock();
    for (;;) {
      for (const { id, isBusy } of drain.step(clock() - beganAt, (each) => this.#relay.packetsOf(each))) {
        // A busy connection has already been waited for, so its client should return at once.
        if (isBusy) this.#relay.announceRestart(id, 0, TRY_FOR_MS);
        this.#afterRelay();
        this.#flushPending();
        this.#connections.get(id)?.socket.end(SHUTDOWN_GRACE_MS);
      }
      if (drain.isOver) return;
      await pause(DRAIN_STEP_MS);
    }
  }

  /** Asks every client to return after `reconnectInMs` and closes all connections. Safe to call twice. */
  async shutdown(reconnectInMs = 1_000, tryForMs = TRY_FOR_MS): Promise<void> {
    this.#shutdown ??= this.#shutDown(reconnectInMs, tryForMs);
    await this.#shutdown;
  }

  /** Same as shutdown. */
  async close(): Promise<void> {
    await this.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #shutDown(reconnectInMs: number, tryForMs: number): Promise<void> {
    this.#relay.shutdown(reconnectInMs, tryForMs);
    this.#afterRelay();
    this.#flushPending();
    clearTimeout(this.#timer);
    const closed = [...this.#connections.values()].map(
      (connection) => new Promise<void>((resolve) => this.#end(connection, resolve)),
    );
    await Promise.all(closed);
    this.#webSockets.close();
  }

  #end(connection: Connection, done: () => void): void {
    this.#ended.set(connection.id, done);
    connection.socket.end(SHUTDOWN_GRACE_MS);
  }

  #acceptRaw(request: IncomingMessage, socket: Duplex, head: Buffer, address: string, place: Place): void {
    if (request.headers["derp-fast-start"] !== "1")
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n" +
          `Derp-Version: ${PROTOCOL_VERSION}\r\nDerp-Public-Key: ${hexEncode(this.publicKey)}\r\n\r\n`,
      );
    this.#add(new RawRelaySocket(socket, head), address, place);
  }

  #acceptWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer, address: string, place: Place): void {
    let accepted = false;
    const gone = (): void => {
      if (!accepted) this.#leavePlace(address, place);
      accepted = true;
    };
    socket.once("close", gone);
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      accepted = true;
      this.#add(new WebSocketRelaySocket(webSocket, socket), address, place);
    });
  }

  #add(socket: RelaySocket, address: string, place: Place): void {
    const now = this.#options.clock();
    const connection: Connection = {
      id: this.#nextId++,
      socket,
      address,
      place,
      identified: false,
      blocked: false,
      blockedAt: now,
      chunkBytes: FIRST_CHUNK_BYTES,
      stall: undefined,
      writing: [],
      written: (error) => {
        const chunk = connection.writing.shift();
        // A failed stream may still use the chunk, so its memory is left to the garbage collector.
        if (chunk !== undefined && !error) this.#relay.releaseOutput(chunk);
      },
    };
    this.#connections.set(connection.id, connection);
    if (socket.kind === "raw") this.#rawConnections++;
    else this.#webSocketConnections++;
    this.#logger.log("debug", "relay connection", { id: connection.id, kind: socket.kind, from: address });
    this.#relay.addConnection(connection.id, now);
    socket.start({
      onBytes: (chunk) => {
        this.#relay.handleBytes(connection.id, chunk, this.#options.clock());
        if (!connection.identified) this.#identify(connection);
        this.#afterRelay();
      },
      onDrain: () => this.#drained(connection),
      onClosed: () => this.#remove(connection),
    });
    this.#afterRelay();
  }

  /** A mesh member returns its place, because siblings do not count towards their address. */
  #identify(connection: Connection): void {
    connection.identified = this.#relay.keyOf(connection.id) !== undefined;
    if (!this.#relay.isMeshMember(connection.id)) return;
    this.#leavePlace(connection.address, connection.place);
    connection.place = "member";
  }

  #remove(connection: Connection): void {
    if (!this.#connections.delete(connection.id)) return;
    clearTimeout(connection.stall);
    this.#pending.delete(connection.id);
    if (connection.socket.kind === "raw") this.#rawConnections--;
    else this.#webSocketConnections--;
    this.#leavePlace(connection.address, connection.place);
    this.#relay.connectionClosed(connection.id, this.#options.clock());
    connection.socket.destroy();
    this.#ended.get(connection.id)?.();
    this.#ended.delete(connection.id);
    this.#afterRelay();
  }

  /** Carries out what the relay has decided. Output waits for the end of the turn, so that many packets become one write. */
  #afterRelay(): void {
    for (let closed = this.#relay.pollClosed(); closed !== undefined; closed = this.#relay.pollClosed()) {
      const connection = this.#connections.get(closed.id);
      if (connection === undefined) continue;
      this.#logger.log("debug", "relay connection closed", { id: closed.id, reason: closed.reason });
      this.#remove(connection);
    }
    for (let id = this.#relay.pollOutput(); id !== undefined; id = this.#relay.pollOutput()) this.#pending.add(id);
    if (this.#pending.size > 0 && !this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(this.#flush);
    }
    this.#armTimer();
  }

  #flushPending(): void {
    this.#flushScheduled = false;
    for (const id of [...this.#pending]) {
      const connection = this.#connections.get(id);
      if (connection === undefined || connection.blocked || this.#write(connection)) this.#pending.delete(id);
    }
    if (this.#pending.size > 0 && !this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(this.#flush);
    }
  }

  /** Returns false if there may be more to write in the next turn. */
  #write(connection: Connection): boolean {
    const { socket, id } = connection;
    let left = TURN_BYTES;
    socket.cork();
    try {
      while (left > 0 && !connection.blocked) {
        const chunk = this.#relay.takeOutput(id, connection.chunkBytes);
        if (chunk === undefined) return true;
        left -= chunk.length;
        connection.writing.push(chunk);
        if (!socket.write(chunk, connection.written)) this.#block(connection);
      }
    } finally {
      socket.uncork();
    }
    return connection.blocked;
  }

  #block(connection: Connection): void {
    connection.blocked = true;
    connection.blockedAt = this.#options.clock();
    connection.stall = setTimeout(() => {
      this.#stalled++;
      this.#logger.log("debug", "relay client does not read", { id: connection.id });
      this.#remove(connection);
    }, WRITE_STALL_MS);
  }

  #drained(connection: Connection): void {
    if (!connection.blocked || !this.#connections.has(connection.id)) return;
    clearTimeout(connection.stall);
    connection.stall = undefined;
    connection.blocked = false;
    const tookMs = this.#options.clock() - connection.blockedAt;
    if (tookMs > SLOW_DRAIN_MS) connection.chunkBytes = Math.max(MIN_CHUNK_BYTES, connection.chunkBytes / 4);
    else connection.chunkBytes = Math.min(MAX_CHUNK_BYTES, 2 * connection.chunkBytes);
    if (!this.#write(connection)) {
      this.#pending.add(connection.id);
      this.#afterRelay();
    }
  }

  #armTimer(): void {
    const deadline = this.#relay.nextTimeout();
    if (deadline === undefined || this.#shutdown !== undefined) return;
    if (this.#timerAt !== undefined && this.#timerAt <= deadline) return;
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    this.#timer = setTimeout(
      () => {
        this.#timerAt = undefined;
        this.#relay.handleTimeout(this.#options.clock());
        this.#afterRelay();
      },
      Math.max(1, Math.ceil(deadline - this.#options.clock())),
    );
    this.#timer.unref();
  }

  #refuse(
    socket: Duplex,
    status: number,
    reason: string,
    text: string,
    why: keyof RelayListenerMetrics["refused"],
  ): void {
    this.#refused[why] = (this.#refused[why] ?? 0) + 1;
    this.#logger.log("debug", "relay upgrade refused", { status, why });
    const upgrade = status === 426 ? "Upgrade: DERP\r\n" : "";
    const head =
      `HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\n${upgrade}Content-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n`;
    sendLastAnswer(socket, head, text);
  }
}

function relayAnswer(path: string): { status: number; body: string; headers: Record<string, string> } | undefined {
  if (path === LATENCY_PATH) return { status: 200, body: "", headers: { "cache-control": "no-store" } };
  if (path === DERP_PATH)
    return {
      status: 426,
      body: UPGRADE_TEXT,
      headers: { "content-type": "text/plain; charset=utf-8", upgrade: "DERP" },
    };
  return undefined;
}

function offersDerp(request: IncomingMessage): boolean {
  const offered = request.headers["sec-websocket-protocol"] ?? "";
  return offered.split(",").some((protocol) => protocol.trim() === "derp");
}

/** The methods exist on sockets of plain HTTP and of TLS; other streams do not need them. */
function prepare(socket: Duplex): void {
  const tcp = socket as Partial<import("node:net").Socket>;
  tcp.setTimeout?.(0);
  tcp.setNoDelay?.(true);
  tcp.setKeepAlive?.(true, TCP_KEEP_ALIVE_MS);
}
