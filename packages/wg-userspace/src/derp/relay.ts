import { looksLikeDisco } from "../base/disco-marker.ts";
import { addMs, type Instant } from "../base/instant.ts";
import { type Logger, silentLogger } from "../base/ports.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import {
  copyOf,
  type FrameSink,
  FrameType,
  type FrameVerdict,
  frame,
  HEADER_BYTES,
  KEY_BYTES,
  MAX_FRAME_BYTES,
  PeerGoneReason,
  peerGoneFrame,
  restartingFrame,
} from "./frame.ts";
import { SegmentPool } from "./frame-queue.ts";
import {
  CLIENT_INFO_MAX_BYTES,
  CLIENT_INFO_MIN_BYTES,
  NONCE_BYTES,
  openClientInfo,
  PROTOCOL_VERSION,
  serverInfoFrame,
  serverKeyFrame,
} from "./handshake.ts";
import { HeldClients } from "./held-clients.ts";
import { KeyTable } from "./key-table.ts";
import { MeshSecret } from "./mesh-secret.ts";
import { RelayConnectionState } from "./relay-client.ts";
import { judgeFrame, PING_MIN_BYTES } from "./relay-frames.ts";
import { RelayPeer } from "./relay-peers.ts";
import {
  type ConnectionId,
  DEFAULT_RELAY_LIMITS,
  newRelayMetrics,
  type PacketForwarder,
  type RelayCloseReason,
  type RelayDropReason,
  type RelayLimits,
  type RelayMetrics,
  type RelayOptions,
} from "./relay-types.ts";

/** Shorter than a minute, the usual silence after which reverse proxies and load balancers end a connection. */
const KEEP_ALIVE_MS = 45_000;
const KEEP_ALIVE_JITTER_MS = 5_000;
/** Keepalives due this soon are sent together: one pass over all connections serves many. */
const KEEP_ALIVE_COALESCE_MS = 500;
const HANDSHAKE_DEADLINE_MS = 10_000;
const NOT_HERE_BURST = 3;
const NOT_HERE_PER_SECOND = 1;
/** A client that keeps to the announced burst may still arrive together with the burst after it. */
const BURST_SLACK = 2;
const EMPTY = new Uint8Array(0);

/**
 * A DERP relay: many connections, each of one client that proved its key, and packets between them. Pure; the shell
 * moves bytes:
 *
 *  - `addConnection` for each transport, `handleBytes` for what it reads, `connectionClosed` when it ended;
 *  - after each call, `pollOutput` names connections with something to send (`takeOutput`, as far as the transport
 *    takes it; one that is named stays named until its output is empty), and `pollClosed` those to be closed;
 *  - `handleTimeout` at `nextTimeout`.
 *
 * A client that does not read loses its oldest packets and delays no other. The source key of a packet is always the
 * proven key of the connection it came in on.
 */
export class DerpRelay {
  readonly metrics: RelayMetrics = newRelayMetrics();
  readonly #options: RelayOptions;
  readonly #limits: RelayLimits;
  readonly #logger: Logger;
  readonly #serverKeyFrame: Uint8Array;
  readonly #meshSecret: MeshSecret;
  readonly #connections = new Map<ConnectionId, RelayConnectionState>();
  readonly #held = new HeldClients();
  readonly #peers: KeyTable<RelayPeer<RelayConnectionState>>;
  readonly #watchers = new Set<RelayConnectionState>();
  readonly #sink: FrameSink;
  readonly #withOutput: ConnectionId[] = [];
  readonly #segments = new SegmentPool();
  readonly #toClose: { readonly id: ConnectionId; readonly reason: RelayCloseReason }[] = [];
  /** The connection whose bytes are being decoded. */
  #current: RelayConnectionState | undefined;
  #now: Instant = 0 as Instant;
  /** Not later than the earliest deadline. */
  #deadline: Instant | undefined;
  #shuttingDown = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_RELAY_LIMITS, ...options.limits };
    this.#logger = options.logger ?? silentLogger;
    this.#serverKeyFrame = serverKeyFrame(options.publicKey);
    this.#meshSecret = new MeshSecret(options.crypto, options.meshKey);
    this.#peers = new KeyTable(options.random.uint32());
    this.#sink = {
      frameHeader: (type, length) => this.#verdict(this.#current!, type, length),
      frame: (type, bytes, offset, length) => this.#handleFrame(this.#current!, type, bytes, offset, length),
    };
  }

  get publicKey(): Uint8Array {
    return this.#options.publicKey;
  }

  /** A transport is open: the server key is sent, and the client has 10 s to identify itself. */
  addConnection(id: ConnectionId, now: Instant): void {
    if (this.#connections.has(id)) throw new RangeError(`relay connection ${id} exists already`);
    this.metrics.accepts++;
    if (this.#shuttingDown) {
      this.#toClose.push({ id, reason: "shutdown" });
      return;
    }
    const jitterMs = this.#options.random.uint32() % KEEP_ALIVE_JITTER_MS;
    const deadline = addMs(now, HANDSHAKE_DEADLINE_MS);
    const connection = new RelayConnectionState(id, this.#limits, KEEP_ALIVE_MS + jitterMs, deadline, this.#segments);
    this.#connections.set(id, connection);
    this.metrics.connections++;
    this.#wakeBy(deadline);
    this.#pushControl(connection, this.#serverKeyFrame);
  }

  handleBytes(id: ConnectionId, chunk: Uint8Array, now: Instant): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#now = now;
    const outer = this.#current; // set when a forwarder leads back to this relay
    this.#current = connection;
    connection.decoder.push(chunk, this.#sink);
    this.#current = outer;
  }

  /** The transport ended. Safe to call for unknown connections. */
  connectionClosed(id: ConnectionId, now: Instant): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#now = now;
    this.#remove(connection);
  }

  nextTimeout(): Instant | undefined {
    return this.#deadline;
  }

  handleTimeout(now: Instant): void {
    if (this.#deadline === undefined || now < this.#deadline) return;
    this.#now = now;
    this.#deadline = undefined;
    const soon = addMs(now, KEEP_ALIVE_COALESCE_MS);
    for (const connection of [...this.#connections.values()]) {
      if (connection.peer === undefined) {
        if (connection.deadline <= now) {
          this.#close(connection, connection.held === undefined ? "handshake-timeout" : "not-admitted");
          continue;
        }
      } else if (connection.deadline <= soon) {
        connection.deadline = addMs(now, connection.keepAliveMs);
        this.#sendKeepAlive(connection);
      }
      this.#wakeBy(connection.deadline);
    }
  }

  /** Next connection that has output and was not named since its output was last empty. */
  pollOutput(): ConnectionId | undefined {
    return this.#withOutput.shift();
  }

  /** Next connection that the shell must close; the relay has already forgotten it. */
  pollClosed(): { readonly id: ConnectionId; readonly reason: RelayCloseReason } | undefined {
    return this.#toClose.shift();
  }

  /**
   * Whole frames for a connection as one chunk of at most about `maxBytes`; call until undefined. The chunk stays
   * unchanged until it is returned with {@link releaseOutput}, which allows its memory to be reused.
   */
  takeOutput(id: ConnectionId, maxBytes: number): Uint8Array | undefined {
    const connection = this.#connections.get(id);
    if (connection === undefined) return undefined;
    const control = connection.control.take(maxBytes);
    if (control !== undefined) {
      if (connection.control.frames === 0) {
        connection.pongWaits = false;
        connection.keepAliveWaits = false;
      }
      this.metrics.bytesSent += control.length;
      return control;
    }
    const chunk = connection.disco.take(maxBytes) ?? connection.data.take(maxBytes);
    if (chunk !== undefined) this.metrics.bytesSent += chunk.length;
    else connection.announced = false;
    return chunk;
  }

  /** This chunk of {@link takeOutput} is no longer read. */
  releaseOutput(chunk: Uint8Array): void {
    this.#segments.giveBack(chunk);
  }

  /** Bytes waiting for a connection. */
  queuedBytes(id: ConnectionId): number {
    return this.#connections.get(id)?.queuedBytes ?? 0;
  }

  /** Whether a client with this key is connected here. */
  isConnected(publicKey: Uint8Array): boolean {
    return this.#peers.get(publicKey)?.active !== undefined;
  }

  /** The key of a connection; undefined before its handshake is done. */
  keyOf(id: ConnectionId): Uint8Array | undefined {
    return this.#connections.get(id)?.peer?.key;
  }

  /** Packets from and to a connection so far. */
  packetsOf(id: ConnectionId): number {
    const { packetsReceived = 0, packetsSent = 0 } = this.#connections.get(id) ?? {};
    return packetsReceived + packetsSent;
  }

  /** Whether a connection proved the mesh key. */
  isMeshMember(id: ConnectionId): boolean {
    return this.#connections.get(id)?.isMeshMember === true;
  }

  /** Closes every connection of a key, now. Returns their number. New connections are up to `admit`. */
  revoke(publicKey: Uint8Array, now: Instant): number {
    this.#now = now;
    return this.#closePeer(publicKey, "revoked");
  }

  /** Closes the connections of every client that `admit` refuses now. Returns their number. */
  revokeUnadmitted(now: Instant): number {
    const { admit } = this.#options;
    return this.#revokeWhere(now, ({ peer, isMeshMember }) => !!peer && !isMeshMember && admit?.(peer.key) === false);
  }

  /** Replaces the secret of the mesh and, if it changed, closes the members that proved the old one. Empty for no mesh. */
  setMeshKey(meshKey: string | undefined, now: Instant): boolean {
    if (!this.#meshSecret.replace(meshKey)) return false;
    this.#revokeWhere(now, ({ isMeshMember }) => isMeshMember);
    return true;
  }

  /** A key may use the relay from now on: clients held for it are admitted. */
  admitHeld(publicKey: Uint8Array, now: Instant): void {
    this.#now = now;
    for (const [connection, held] of this.#held.release(publicKey))
      this.#completeHandshake(connection, held.publicKey, held.boxKey);
  }

  /** Another relay of the mesh has this key. The one registered first is used. */
  addForwarder(publicKey: Uint8Array, forwarder: PacketForwarder): void {
    const peer = this.#peerFor(publicKey);
    if (!peer.forwarders.includes(forwarder)) peer.forwarders.push(forwarder);
  }

  removeForwarder(publicKey: Uint8Array, forwarder: PacketForwarder): void {
    const peer = this.#peers.get(publicKey);
    const at = peer?.forwarders.indexOf(forwarder) ?? -1;
    if (peer === undefined || at < 0) return;
    peer.forwarders.splice(at, 1);
    this.#dropIfUnused(peer);
  }

  /**
   * Announces to every client when to reconnect, each up to `spreadMs` later; accepts no connection from now on. The shell
   * closes the transports.
   */
  shutdown(reconnectInMs: number, tryForMs: number, spreadMs = 0): void {
    this.#shuttingDown = true;
    const { random } = this.#options;
    for (const id of this.#connections.keys())
      this.announceRestart(id, reconnectInMs + (random.uint32() % (spreadMs + 1)), tryForMs);
  }

  /** Announces to one client when to reconnect. */
  announceRestart(id: ConnectionId, reconnectInMs: number, tryForMs: number): void {
    const connection = this.#connections.get(id);
    if (connection?.peer !== undefined) this.#pushControl(connection, restartingFrame(reconnectInMs, tryForMs));
  }

  // --- frames in ---

  #verdict(from: RelayConnectionState, type: number, length: number): FrameVerdict {
    if (from.held !== undefined) {
      return length > MAX_FRAME_BYTES ? this.#refuse(from, "frame-too-long") : "skip";
    }
    if (from.peer === undefined) {
      const fits = length >= CLIENT_INFO_MIN_BYTES && length <= CLIENT_INFO_MAX_BYTES;
      return type === FrameType.clientInfo && fits ? "take" : this.#refuse(from, "bad-client-info");
    }
    from.peer.noteActivity(from);
    const verdict = judgeFrame(type, length, from.isMeshMember);
    if (verdict === "take") return verdict;
    if (verdict !== "skip") return this.#refuse(from, verdict);
    if (type !== FrameType.pong && type !== FrameType.keepAlive) this.metrics.unknownFrames++;
    return verdict;
  }

  #handleFrame(from: RelayConnectionState, type: number, bytes: Uint8Array, offset: number, length: number): void {
    switch (type) {
      case FrameType.sendPacket:
        this.#handleSendPacket(from, bytes, offset, length);
        return;
      case FrameType.clientInfo:
        this.#handleClientInfo(from, bytes, offset, length);
        return;
      case FrameType.notePreferred:
        this.#noteHome(from, bytes[offset] !== 0);
        return;
      case FrameType.ping:
        if (from.pongWaits) return;
        from.pongWaits = true;
        this.#pushControl(from, frame(FrameType.pong, bytes.subarray(offset, offset + PING_MIN_BYTES)));
        return;
      case FrameType.watchConns:
        this.#watch(from);
        return;
      case FrameType.closePeer:
        this.#closePeer(bytes.subarray(offset, offset + KEY_BYTES), "closed-by-mesh");
        return;
      case FrameType.forwardPacket:
        this.#handleForwardPacket(bytes, offset, length);
        return;
    }
  }

  #handleSendPacket(from: RelayConnectionState, bytes: Uint8Array, offset: number, length: number): void {
    this.metrics.packetsReceived++;
    this.metrics.bytesReceived += HEADER_BYTES + length;
    from.packetsReceived++;
    if (from.rate !== undefined && !from.rate.take(this.#now, HEADER_BYTES + length)) {
      this.#drop("rate-limited");
      return;
    }
    const source = from.peer!;
    const destination = this.#peers.at(bytes, offset);
    const packetAt = offset + KEY_BYTES;
    const packetBytes = length - KEY_BYTES;
    const to = destination?.active;
    if (to !== undefined) {
      source.noteSent(destination!, this.#limits.rememberedPeers);
      this.#deliver(to, source.key, bytes, packetAt, packetBytes);
      return;
    }
    const forwarder = destination?.forwarders[0];
    if (forwarder !== undefined) {
      this.metrics.packetsForwardedOut++;
      forwarder.forwardPacket(source.key, destination!.key, bytes, packetAt, packetBytes);
      return;
    }
    this.#drop("unknown-destination");
    if (looksLikeDisco(bytes, packetAt, packetBytes)) this.#answerNotHere(from, bytes.subarray(offset, packetAt));
  }

  /** Handles a packet from a mesh member for a client of ours; it is never forwarded again. */
  #handleForwardPacket(bytes: Uint8Array, offset: number, length: number): void {
    this.metrics.packetsForwardedIn++;
    this.metrics.bytesReceived += HEADER_BYTES + length;
    const to = this.#peers.at(bytes, offset + KEY_BYTES)?.active;
    if (to === undefined) {
      this.#drop("unknown-destination");
      return;
    }
    const source = bytes.subarray(offset, offset + KEY_BYTES);
    this.#deliver(to, source, bytes, offset + 2 * KEY_BYTES, length - 2 * KEY_BYTES);
  }

  #deliver(to: RelayConnectionState, source: Uint8Array, bytes: Uint8Array, offset: number, length: number): void {
    const queue = looksLikeDisco(bytes, offset, length) ? to.disco : to.data;
    const dropped = queue.pushPacket(FrameType.recvPacket, source, bytes, offset, length);
    if (dropped < 0) {
      this.#drop("queue-full");
      return;
    }
    for (let i = 0; i < dropped; i++) this.#drop("queue-head");
    this.metrics.packetsSent++;
    to.packetsSent++;
    this.#announce(to);
  }

  #answerNotHere(to: RelayConnectionState, key: Uint8Array): void {
    to.notHereRate ??= new TokenBucket(NOT_HERE_PER_SECOND, NOT_HERE_BURST);
    if (to.notHereRate.take(this.#now)) this.#sendPeerGone(to, key, PeerGoneReason.notHere);
  }

  #handleClientInfo(from: RelayConnectionState, bytes: Uint8Array, offset: number, length: number): void {
    const { crypto, privateKey, admit, holdUnknown } = this.#options;
    const opened = openClientInfo(crypto, privateKey, bytes, offset, length);
    if (opened === undefined) {
      this.#close(from, "bad-client-info");
      return;
    }
    from.isMeshMember = this.#meshSecret.isProvenBy(opened.info);
    if (!from.isMeshMember && admit !== undefined && !admit(opened.publicKey)) {
      if (holdUnknown !== true) {
        this.#close(from, "not-admitted");
        return;
      }
      this.#held.hold(from, opened.publicKey, opened.boxKey);
      return;
    }
    this.#completeHandshake(from, opened.publicKey, opened.boxKey);
  }

  /** Registers a client and confirms it. Wipes the box key. */
  #completeHandshake(from: RelayConnectionState, publicKey: Uint8Array, boxKey: Uint8Array): void {
    const { crypto, random } = this.#options;
    this.#register(from, publicKey);
    const { bytesPerSecond, bytesBurst } = this.#limits;
    const limited = bytesPerSecond !== undefined && !from.isMeshMember;
    if (limited) from.rate = new TokenBucket(bytesPerSecond, BURST_SLACK * bytesBurst);
    const info = serverInfoFrame(crypto, boxKey, random.bytes(NONCE_BYTES), {
      version: PROTOCOL_VERSION,
      tokenBucketBytesPerSecond: limited ? bytesPerSecond : undefined,
      tokenBucketBytesBurst: limited ? bytesBurst : undefined,
    });
    boxKey.fill(0);
    this.#pushControl(from, info);
  }

  // --- who is here ---

  #register(connection: RelayConnectionState, publicKey: Uint8Array): void {
    const peer = this.#peerFor(publicKey);
    connection.peer = peer;
    connection.deadline = addMs(this.#now, connection.keepAliveMs);
    this.#wakeBy(connection.deadline);
    peer.connections.push(connection);
    this.metrics.registrations++;
    this.metrics.clients++;
    if (peer.connections.length === 2) this.metrics.duplicateKeys++;
    if (peer.connections.length > this.#limits.connectionsPerKey)
      this.#close(peer.connections[0]!, "too-many-with-key");
    if (peer.connections.length > 1) return;
    for (const watcher of this.#watchers) this.#sendPeerPresent(watcher, peer.key);
  }

  #remove(connection: RelayConnectionState): void {
    this.#connections.delete(connection.id);
    this.#watchers.delete(connection);
    this.#held.remove(connection);
    connection.decoder.stop();
    const undelivered = connection.data.frames + connection.disco.frames;
    for (let i = 0; i < undelivered; i++) this.#drop("connection-closed");
    connection.data.clear();
    connection.disco.clear();
    connection.control.clear();
    this.metrics.connections--;
    if (connection.isHome) this.metrics.homeClients--;
    const { peer } = connection;
    if (peer === undefined) return;
    this.metrics.clients--;
    peer.connections.splice(peer.connections.indexOf(connection), 1);
    if (peer.connections.length === 1) this.metrics.duplicateKeys--;
    if (peer.connections.length > 0) return;
    const reached = peer.forgetLinks();
    // A client that has meanwhile connected to another relay of the mesh is not gone.
    if (peer.forwarders.length === 0)
      for (const other of reached)
        for (const to of other.connections) this.#sendPeerGone(to, peer.key, PeerGoneReason.disconnected);
    for (const watcher of this.#watchers) this.#sendPeerGone(watcher, peer.key, PeerGoneReason.disconnected);
    this.#dropIfUnused(peer);
  }

  #peerFor(publicKey: Uint8Array): RelayPeer<RelayConnectionState> {
    let peer = this.#peers.get(publicKey);
    if (peer === undefined) {
      peer = new RelayPeer<RelayConnectionState>(copyOf(publicKey, 0, KEY_BYTES));
      this.#peers.add(peer.key, peer);
    }
    return peer;
  }

  #dropIfUnused(peer: RelayPeer<RelayConnectionState>): void {
    if (peer.connections.length === 0 && peer.forwarders.length === 0) this.#peers.delete(peer.key);
  }

  #closePeer(publicKey: Uint8Array, reason: RelayCloseReason): number {
    const connections = [...(this.#peers.get(publicKey)?.connections ?? [])];
    for (const connection of connections) this.#close(connection, reason);
    return connections.length;
  }

  #revokeWhere(now: Instant, applies: (connection: RelayConnectionState) => boolean): number {
    this.#now = now;
    const connections = [...this.#connections.values()].filter(applies);
    for (const connection of connections) this.#close(connection, "revoked");
    return connections.length;
  }

  #watch(connection: RelayConnectionState): void {
    if (this.#watchers.has(connection)) return;
    this.#watchers.add(connection);
    for (const peer of this.#peers.values())
      if (peer.connections.length > 0) this.#sendPeerPresent(connection, peer.key);
  }

  #noteHome(connection: RelayConnectionState, home: boolean): void {
    if (connection.isHome === home) return;
    connection.isHome = home;
    this.metrics.homeClients += home ? 1 : -1;
  }

  // --- frames out ---

  #sendKeepAlive(to: RelayConnectionState): void {
    to.data.trim();
    to.disco.trim();
    to.control.trim();
    if (to.keepAliveWaits) return;
    to.keepAliveWaits = true;
    this.#pushControl(to, frame(FrameType.keepAlive, EMPTY));
  }

  #sendPeerGone(to: RelayConnectionState, key: Uint8Array, reason: number): void {
    if (this.#pushControl(to, peerGoneFrame(key, reason))) this.metrics.peerGoneSent++;
  }

  #sendPeerPresent(to: RelayConnectionState, key: Uint8Array): void {
    this.#pushControl(to, frame(FrameType.peerPresent, key));
  }

  /**
   * An ordinary client that reads nothing loses control frames; a mesh member would keep a wrong view, so it must
   * reconnect.
   */
  #pushControl(to: RelayConnectionState, bytes: Uint8Array): boolean {
    const watching = this.#watchers.has(to);
    const bound = watching ? this.#limits.meshControlBytes : this.#limits.controlBytes;
    if (to.control.bytes + bytes.length <= bound && to.control.pushFrame(bytes)) {
      this.#announce(to);
      return true;
    }
    if (watching) this.#close(to, "mesh-overflow");
    else this.#drop("control-full");
    return false;
  }

  #announce(connection: RelayConnectionState): void {
    if (connection.announced) return;
    connection.announced = true;
    this.#withOutput.push(connection.id);
  }

  #refuse(connection: RelayConnectionState, reason: RelayCloseReason): "refuse" {
    this.#close(connection, reason);
    return "refuse";
  }

  #close(connection: RelayConnectionState, reason: RelayCloseReason): void {
    if (this.#connections.get(connection.id) !== connection) return;
    this.metrics.closes[reason] = (this.metrics.closes[reason] ?? 0) + 1;
    this.#logger.log("debug", "relay closes connection", { id: connection.id, reason });
    this.#toClose.push({ id: connection.id, reason });
    this.#remove(connection);
  }

  #drop(reason: RelayDropReason): void {
    this.metrics.drops[reason] = (this.metrics.drops[reason] ?? 0) + 1;
  }

  #wakeBy(deadline: Instant): void {
    if (this.#deadline === undefined || deadline < this.#deadline) this.#deadline = deadline;
  }
}
