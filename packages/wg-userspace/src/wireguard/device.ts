import { bytesEqual } from "../base/bytes.ts";
import { DeadlineHeap } from "../base/deadline-heap.ts";
import { type DropReason, Drops, EngineError } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import { formatPrefix, type IpPrefix } from "../base/ip.ts";
import {
  keyId,
  type NodePrivateKey,
  type NodePublicKey,
  nodePrivateKey,
  nodePublicKey,
  shortKey,
} from "../base/keys.ts";
import {
  type CryptoSuite,
  type Logger,
  logs,
  type PacketCipher,
  type RandomSource,
  silentLogger,
} from "../base/ports.ts";
import { AllowedIPs } from "./allowed-ips.ts";
import {
  DEFAULT_MAX_PEERS,
  DEFAULT_UNDER_LOAD_INITIATIONS_PER_SECOND,
  KEY_LENGTH,
  MAX_TIMER_HANDSHAKES,
  REKEY_AFTER_TIME,
  REKEY_BEFORE_REJECT_AGE,
  RETIRED_PEERS,
  STAGED_BYTES_PER_DEVICE,
  TRANSPORT_HEADER_LENGTH,
  TRANSPORT_OVERHEAD,
} from "./constants.ts";
import { Handshaker, type HandshakerHost } from "./handshaker.ts";
import { IndexTable } from "./index-table.ts";
import { addressLength, declaredLength, destinationOffset, paddedLength, sourceOffset } from "./inner-packet.ts";
import { type Keypair, MESSAGE_LIMITS, type MessageLimits } from "./keypair.ts";
import { classifyMessage, parseCookieReply, parseInitiation, parseResponse } from "./messages.ts";
import { newPeerTimestamps, Peer, type PeerContext, type PeerTimestamps, type Receiver } from "./peer.ts";
import type { PeerTimer } from "./peer-timers.ts";
import { StagingBudget } from "./staging-queue.ts";
import { type MessageSource, Transport } from "./transport.ts";

export type { MessageSource } from "./transport.ts";

export interface PeerConfig {
  readonly publicKey: NodePublicKey;
  /** 32 bytes, copied; without it, 32 zero bytes. */
  readonly presharedKey?: Uint8Array | undefined;
  readonly allowedIPs: readonly IpPrefix[];
  /** See {@link Peer.setPersistentKeepalive}. */
  readonly persistentKeepaliveMs?: number | undefined;
}

export interface DeviceConfig {
  /** Borrowed for the device's life. */
  readonly privateKey: NodePrivateKey;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  /** Not shared with another device while either has open batches. */
  readonly cipher: PacketCipher;
  /** Wall-clock time of an instant in ms since 1970, for the timestamps of initiations. */
  readonly unixMs: (now: Instant) => number;
  readonly logger?: Logger;
  /** Largest inner packet, up to which padding may fill. */
  readonly mtu: number;
  readonly maxPeers?: number | undefined;
  /** Handshake messages per second above which senders must prove their address with a cookie. */
  readonly underLoadInitiationsPerSecond?: number;
  /** For tests of the rules on message counts. */
  readonly messageLimits?: MessageLimits;
}

export interface DeviceOutput {
  /**
   * A message at `cipher.memory.bytes[slot, slot + length)` in a leased TX slot, which the output now owns and returns
   * with `cipher.tx.release(slot)`. `replyTo` is set for cookie replies, which have no peer and go to that source;
   * every other message uses the peer's current path.
   */
  sendMessage(peer: Peer | undefined, slot: number, length: number, replyTo: MessageSource | undefined): void;
  /** A decrypted inner packet at `memory.bytes[offset, offset + length)`, without padding, borrowed for the call. */
  deliverPacket(peer: Peer, offset: number, length: number): void;
  /** Called for every authenticated, new message from the peer, before it has any effect: the place to roam. */
  authenticated(peer: Peer, source: MessageSource): void;
  /** Data can flow. Initiator: a response was accepted; responder: the first transport message arrived. */
  sessionEstablished(peer: Peer): void;
  /** There was no answer for REKEY_ATTEMPT_TIME: staged packets are dropped. */
  handshakeGaveUp(peer: Peer): void;
}

/**
 * A WireGuard interface: one private key, many peers. Packets and messages go in by slot; messages and packets come out
 * through {@link DeviceOutput}, during the calls. Callbacks may call encapsulate and the peer methods, not decapsulate or
 * handleTimeout. Nothing that comes from the network makes a method throw; dropped packets are counted in `drops`.
 *
 * After a turn's calls, call flush, then ask nextTimeout.
 */
export class Device {
  readonly publicKey: NodePublicKey;
  readonly drops = new Drops();
  readonly #cipher: PacketCipher;
  readonly #output: DeviceOutput;
  readonly #logger: Logger;
  readonly #limits: MessageLimits;
  readonly #maxPeers: number;
  #mtu = 0;
  /** By key id, in order of adding. */
  readonly #peers = new Map<string, Peer>();
  readonly #retired = new Map<string, PeerTimestamps>();
  readonly #allowedIPs = new AllowedIPs<Peer>();
  readonly #indices: IndexTable<Receiver>;
  readonly #deadlines = new DeadlineHeap<Peer>();
  readonly #handshaker: Handshaker;
  readonly #transport: Transport;
  readonly #peerContext: PeerContext;

  /** Throws EngineError ERR_INVALID_ARGUMENT on an impossible MTU, RangeError on a key of the wrong length. */
  constructor(config: DeviceConfig, output: DeviceOutput) {
    const { crypto, random, cipher } = config;
    const privateKey = nodePrivateKey(config.privateKey);
    this.publicKey = nodePublicKey(crypto.publicKey(privateKey));
    this.#cipher = cipher;
    this.#output = output;
    this.#logger = config.logger ?? silentLogger;
    this.#limits = config.messageLimits ?? MESSAGE_LIMITS;
    this.#maxPeers = config.maxPeers ?? DEFAULT_MAX_PEERS;
    this.#indices = new IndexTable(random);
    const perSecond = config.underLoadInitiationsPerSecond ?? DEFAULT_UNDER_LOAD_INITIATIONS_PER_SECOND;
    const identity = { crypto, random, privateKey, publicKey: this.publicKey };
    this.#handshaker = new Handshaker(identity, cipher, perSecond, this.#handshakerHost(config.unixMs));
    this.#transport = new Transport(cipher, this.drops, {
      sealed: (peer, slot, length) => output.sendMessage(peer, slot, length, undefined),
      opened: (receiver, keypair, slot, length, source, now) =>
        this.#opened(receiver.peer, keypair, slot, length, source, now),
    });
    this.#peerContext = {
      ownKeyId: keyId(this.publicKey),
      crypto,
      limits: this.#limits,
      deadlines: this.#deadlines,
      stagingBudget: new StagingBudget(STAGED_BYTES_PER_DEVICE),
      keypairDropped: (keypair) => this.#indices.remove(keypair.localIndex),
    };
    this.setMtu(config.mtu);
  }

  get peers(): Iterable<Peer> {
    return this.#peers.values();
  }

  peer(publicKey: NodePublicKey): Peer | undefined {
    return this.#peers.get(keyId(publicKey));
  }

  /**
   * Adds a peer, or changes the one with this key in place: sessions continue, a changed pre-shared key applies from
   * the next handshake. A prefix of another peer moves to this one. Sends nothing.
   * @throws EngineError ERR_INVALID_ARGUMENT on our own key, a malformed pre-shared key or prefix; ERR_LIMIT on too
   * many.
   */
  addPeer(config: PeerConfig, now: Instant): Peer {
    this.#checkPeerConfig(config);
    const id = keyId(config.publicKey);
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      if (this.#peers.size >= this.#maxPeers) {
        throw new EngineError(
          "ERR_LIMIT",
          `cannot add peer ${shortKey(config.publicKey)}: there are ${this.#maxPeers} already`,
        );
      }
      peer = new Peer(config.publicKey, this.#retired.get(id) ?? newPeerTimestamps(), this.#peerContext);
      this.#retired.delete(id);
      this.#peers.set(id, peer);
    }
    if (config.presharedKey === undefined) peer.presharedKey.fill(0);
    else peer.presharedKey.set(config.presharedKey);
    this.#setAllowedIPs(peer, config.allowedIPs);
    peer.setPersistentKeepalive(config.persistentKeepaliveMs, now);
    return peer;
  }

  /** Removes the peer, wipes its keys and drops its staged packets. False when there is none. */
  removePeer(publicKey: NodePublicKey, now: Instant): boolean {
    const peer = this.peer(publicKey);
    if (peer === undefined) return false;
    this.#peers.delete(peer.keyId);
    this.#setAllowedIPs(peer, []);
    this.#dropStaged(peer);
    this.#handshaker.forget(peer);
    peer.removed = true;
    this.#deadlines.remove(peer);
    peer.wipe();
    // A captured initiation must stay refused if the peer is added again.
    this.#retired.set(peer.keyId, peer.timestamps);
    if (this.#retired.size > RETIRED_PEERS) this.#retired.delete(this.#retired.keys().next().value!);
    this.#log("peer removed", peer, now);
    return true;
  }

  /** Removes all peers and wipes the device's own secrets. Wiping the private key is left to the caller. */
  close(now: Instant): void {
    for (const peer of [...this.#peers.values()]) this.removePeer(peer.publicKey, now);
    this.#retired.clear();
    this.flush(now);
    this.#handshaker.wipe();
  }

  /** The peer that bytes[offset, offset + length), an address of 4 or 16 bytes, is routed to. */
  peerFor(bytes: Uint8Array, offset: number, length: number): Peer | undefined {
    return this.#allowedIPs.lookup(bytes, offset, length);
  }

  /** @throws EngineError ERR_INVALID_ARGUMENT unless a padded packet of this size fits a TX slot. */
  setMtu(mtu: number): void {
    const limit = this.#cipher.tx.stride - TRANSPORT_OVERHEAD;
    if (!Number.isInteger(mtu) || mtu < 68 || mtu > limit) {
      throw new EngineError("ERR_INVALID_ARGUMENT", `MTU ${mtu} is outside 68 … ${limit}`);
    }
    this.#mtu = mtu;
  }

  /**
   * Sends the inner packet of `length` bytes at `slot + 16` of a TX slot, which now belongs to the device, to the peer
   * to which its destination is routed. Without a session the packet is staged and a handshake started.
   */
  encapsulate(slot: number, length: number, now: Instant): void {
    const { bytes } = this.#cipher.memory;
    const at = slot + TRANSPORT_HEADER_LENGTH;
    if (length > this.#cipher.tx.stride - TRANSPORT_OVERHEAD) {
      this.#dropTx(slot, "too-long");
      return;
    }
    const width = addressLength(bytes, at, length);
    if (width === 0) {
      this.#dropTx(slot, "malformed");
      return;
    }
    const peer = this.#allowedIPs.lookup(bytes, at + destinationOffset(width), width);
    if (peer === undefined) {
      this.#dropTx(slot, "no-route");
      return;
    }
    const keypair = peer.sendingKeypair(now);
    if (keypair !== undefined && peer.staged.length === 0) {
      this.#sendData(peer, keypair, slot, length, now);
      return;
    }
    // Staged packets go first, so this one is queued behind them even when there is a session.
    this.#countDrops("queue-full", peer.staged.push(bytes.slice(at, at + length)));
    this.#cipher.tx.release(slot);
    if (keypair === undefined) this.startHandshake(peer, now);
    else this.#sendStaged(peer, now);
  }

  /** Takes a whole message of `length` bytes at `slot` of an RX slot, which now belongs to the device. */
  decapsulate(slot: number, length: number, source: MessageSource, now: Instant): void {
    const { rx, memory } = this.#cipher;
    if (length > rx.stride) {
      this.#dropRx(slot, "too-long");
      return;
    }
    const kind = classifyMessage(memory.bytes, slot, length);
    if (kind === "transport") {
      this.#receiveTransport(slot, length, source, now);
      return;
    }
    try {
      switch (kind) {
        case "initiation":
          this.#handshaker.handleInitiation(parseInitiation(memory.bytes, slot, length)!, source, now);
          return;
        case "response":
          this.#handshaker.handleResponse(parseResponse(memory.bytes, slot, length)!, source, now);
          return;
        case "cookie-reply":
          this.#handshaker.handleCookieReply(parseCookieReply(memory.bytes, slot, length)!, now);
          return;
        default:
          this.#drop(kind);
          return;
      }
    } finally {
      rx.release(slot);
    }
  }

  /** Opens received messages, then seals queued packets, including those that the delivered packets caused. */
  flush(now: Instant): void {
    this.#transport.runOpens(now);
    this.#transport.runSeals();
  }

  /** Starts a handshake unless a handshake message was sent to the peer less than REKEY_TIMEOUT ago. */
  startHandshake(peer: Peer, now: Instant): void {
    peer.handshakeAttempts = 0;
    this.#handshaker.initiate(peer, now);
  }

  /** Safe to call early or twice. Its messages are sent with the next flush. */
  handleTimeout(now: Instant): void {
    for (;;) {
      const peer = this.#deadlines.takeExpired(now);
      if (peer === undefined) return;
      for (;;) {
        const timer = peer.timers.takeExpired(now);
        if (timer === undefined) break;
        this.#expired(peer, timer, now);
      }
      peer.deadlinesChanged();
    }
  }

  /** May be a little early, never late. */
  nextTimeout(exact = false): Instant | undefined {
    return this.#deadlines.next(exact);
  }

  // Sending

  /** Takes the slot. */
  #sendData(peer: Peer, keypair: Keypair, slot: number, length: number, now: Instant): void {
    const padded = paddedLength(length, this.#mtu);
    if (padded > this.#cipher.tx.stride - TRANSPORT_OVERHEAD) {
      this.#dropTx(slot, "too-long");
      return;
    }
    const end = slot + TRANSPORT_HEADER_LENGTH + length;
    if (padded > length) this.#cipher.memory.bytes.fill(0, end, end + padded - length);
    this.#transport.queueSeal(peer, keypair, slot, padded);
    peer.txBytes += length;
    peer.timers.dataSent(now);
    this.#transportSent(peer, keypair, now);
  }

  /** Sends an empty transport message, or starts a handshake when there is no session. */
  #sendKeepalive(peer: Peer, now: Instant): void {
    const keypair = peer.sendingKeypair(now);
    if (keypair === undefined) {
      this.startHandshake(peer, now);
      return;
    }
    if (this.#sendStaged(peer, now) > 0) return;
    const slot = this.#cipher.tx.leaseForControl();
    if (slot < 0) {
      this.#drop("no-slot");
      peer.timers.keepaliveMissed(now);
      peer.deadlinesChanged();
      return;
    }
    this.#transport.queueSeal(peer, keypair, slot, 0);
    this.#transportSent(peer, keypair, now);
  }

  #transportSent(peer: Peer, keypair: Keypair, now: Instant): void {
    peer.timers.authenticatedSent(now);
    peer.deadlinesChanged();
    const isOld = keypair.isInitiator && now - keypair.createdAt > REKEY_AFTER_TIME;
    if (isOld || keypair.sendCounter > this.#limits.rekeyAfterMessages) this.startHandshake(peer, now);
  }

  /** Returns how many staged packets could be sent; the rest is retried soon. */
  #sendStaged(peer: Peer, now: Instant): number {
    const { tx, memory } = this.#cipher;
    for (let sent = 0; ; sent++) {
      const packet = peer.staged.peek();
      if (packet === undefined) return sent;
      const keypair = peer.sendingKeypair(now);
      if (keypair === undefined) {
        this.startHandshake(peer, now);
        return sent;
      }
      let slot = tx.lease();
      if (slot < 0) {
        this.#transport.runSeals();
        slot = tx.lease();
      }
      if (slot < 0) {
        peer.timers.stagedMissed(now);
        peer.deadlinesChanged();
        return sent;
      }
      memory.bytes.set(packet, slot + TRANSPORT_HEADER_LENGTH);
      peer.staged.shift();
      this.#sendData(peer, keypair, slot, packet.length, now);
    }
  }

  // Receiving

  /** Takes the slot. */
  #receiveTransport(slot: number, length: number, source: MessageSource, now: Instant): void {
    const receiver = this.#indices.lookup(this.#cipher.memory.view.getInt32(slot + 4, true));
    const keypair = receiver?.keypair;
    if (receiver === undefined || keypair === undefined) {
      this.#dropRx(slot, "unknown-index");
      return;
    }
    if (keypair.isExpired(now)) {
      this.#dropRx(slot, "keypair-expired");
      return;
    }
    this.#transport.queueOpen(receiver, keypair, slot, length - TRANSPORT_OVERHEAD, source, now);
  }

  /** Handles a transport message with a valid tag and `length` bytes of plaintext. */
  #opened(peer: Peer, keypair: Keypair, slot: number, length: number, source: MessageSource, now: Instant): void {
    const { bytes, view } = this.#cipher.memory;
    if (!keypair.window.accept(view.getUint32(slot + 8, true), view.getUint32(slot + 12, true))) {
      this.#drop("replayed");
      return;
    }
    this.#authenticated(peer, source, now);
    if (peer.removed) return;
    if (length > 0) peer.timers.dataReceived(now);
    peer.deadlinesChanged();
    if (peer.keypairs.promote(keypair)) {
      this.#handshakeComplete(peer, now);
      this.#sendStaged(peer, now);
      this.#output.sessionEstablished(peer);
    }
    this.#renewBeforeReject(peer, now);
    if (length === 0 || peer.removed) return;
    const at = slot + TRANSPORT_HEADER_LENGTH;
    const width = addressLength(bytes, at, length);
    const innerLength = width === 0 ? 0 : declaredLength(bytes, at, width, length);
    if (width === 0 || innerLength === 0) {
      this.#drop("malformed");
      return;
    }
    if (this.#allowedIPs.lookup(bytes, at + sourceOffset(width), width) !== peer) {
      this.#drop("source-not-allowed");
      return;
    }
    peer.rxBytes += innerLength;
    this.#output.deliverPacket(peer, at, innerLength);
  }

  #renewBeforeReject(peer: Peer, now: Instant): void {
    const { current } = peer.keypairs;
    if (current === undefined || !current.isInitiator || peer.sentLastMinuteHandshake) return;
    if (now - current.createdAt <= REKEY_BEFORE_REJECT_AGE) return;
    peer.sentLastMinuteHandshake = true;
    this.startHandshake(peer, now);
  }

  #authenticated(peer: Peer, source: MessageSource, now: Instant): void {
    peer.lastReceivedAt = now;
    peer.timers.authenticatedReceived(now);
    this.#output.authenticated(peer, source);
  }

  #handshakeComplete(peer: Peer, now: Instant): void {
    peer.timers.handshakeComplete();
    peer.handshakeAttempts = 0;
    peer.sentLastMinuteHandshake = false;
    peer.lastHandshakeAt = now;
    peer.deadlinesChanged();
    this.#log("session established", peer, now);
  }

  // Timers

  #expired(peer: Peer, timer: PeerTimer, now: Instant): void {
    switch (timer) {
      case "retransmit-handshake":
        if (peer.handshakeAttempts > MAX_TIMER_HANDSHAKES) {
          this.#log("handshake abandoned", peer, now);
          peer.timers.handshakeGaveUp(now);
          this.#dropStaged(peer);
          this.#output.handshakeGaveUp(peer);
        } else {
          peer.handshakeAttempts++;
          this.#handshaker.initiate(peer, now);
        }
        return;
      case "new-handshake":
        this.startHandshake(peer, now);
        return;
      case "send-keepalive":
        this.#sendKeepalive(peer, now);
        peer.timers.keepaliveSent(now);
        return;
      case "persistent-keepalive":
        this.#sendKeepalive(peer, now);
        return;
      case "zero-key-material":
        peer.keypairs.wipeAll();
        this.#handshaker.forget(peer);
        return;
      case "send-staged":
        this.#sendStaged(peer, now);
        return;
    }
  }

  // Peers

  #handshakerHost(unixMs: (now: Instant) => number): HandshakerHost {
    return {
      peers: this.#peers,
      indices: this.#indices,
      unixMs,
      settle: (now) => this.flush(now),
      sealQueued: () => this.#transport.runSeals(),
      authenticated: (peer, source, now) => this.#authenticated(peer, source, now),
      initiatedSession: (peer, now) => {
        this.#handshakeComplete(peer, now);
        // The responder must not send before it has received a message on the new keys.
        this.#sendKeepalive(peer, now);
        this.#output.sessionEstablished(peer);
      },
      sendMessage: (peer, slot, length, replyTo) => this.#output.sendMessage(peer, slot, length, replyTo),
      drop: (reason) => this.#drop(reason),
      log: (message, peer, now) => this.#log(message, peer, now),
    };
  }

  #checkPeerConfig(config: PeerConfig): void {
    const name = shortKey(nodePublicKey(config.publicKey));
    if (bytesEqual(config.publicKey, this.publicKey)) {
      throw new EngineError("ERR_INVALID_ARGUMENT", `peer ${name} has this device's own key`);
    }
    if (config.presharedKey !== undefined && config.presharedKey.length !== KEY_LENGTH) {
      throw new EngineError(
        "ERR_INVALID_ARGUMENT",
        `the pre-shared key of peer ${name} has ${config.presharedKey.length} bytes instead of ${KEY_LENGTH}`,
      );
    }
    for (const prefix of config.allowedIPs) {
      const width = prefix.address.length * 8;
      if (
        (width === 32 || width === 128) &&
        Number.isInteger(prefix.bits) &&
        prefix.bits >= 0 &&
        prefix.bits <= width
      ) {
        continue;
      }
      throw new EngineError("ERR_INVALID_ARGUMENT", `peer ${name} has the impossible prefix ${formatPrefix(prefix)}`);
    }
  }

  #setAllowedIPs(peer: Peer, prefixes: readonly IpPrefix[]): void {
    for (const prefix of peer.allowedIPs) this.#allowedIPs.remove(prefix, peer);
    peer.allowedIPs = [...prefixes];
    for (const prefix of prefixes) {
      const before = this.#allowedIPs.insert(prefix, peer);
      if (before === undefined) continue;
      before.allowedIPs = before.allowedIPs.filter((held) => !samePrefix(held, prefix));
    }
  }

  #dropStaged(peer: Peer): void {
    this.#countDrops("no-keypair", peer.staged.clear());
  }

  // Drops and log

  #dropTx(slot: number, reason: DropReason): void {
    this.#cipher.tx.release(slot);
    this.#drop(reason);
  }

  #dropRx(slot: number, reason: DropReason): void {
    this.#cipher.rx.release(slot);
    this.#drop(reason);
  }

  #countDrops(reason: DropReason, count: number): void {
    for (let i = 0; i < count; i++) this.#drop(reason);
  }

  #drop(reason: DropReason): void {
    this.drops.count(reason);
    if (logs(this.#logger, "trace")) this.#logger.log("trace", "packet dropped", { reason });
  }

  #log(message: string, peer: Peer, now: Instant): void {
    if (logs(this.#logger, "debug")) this.#logger.log("debug", message, { peer: shortKey(peer.publicKey), at: now });
  }
}

function samePrefix(a: IpPrefix, b: IpPrefix): boolean {
  if (a.bits !== b.bits || a.address.length !== b.address.length) return false;
  for (let bit = 0; bit < a.bits; bit += 8) {
    const mask = a.bits - bit >= 8 ? 0xff : (0xff00 >> (a.bits - bit)) & 0xff;
    if (((a.address[bit >> 3]! ^ b.address[bit >> 3]!) & mask) !== 0) return false;
  }
  return true;
}
