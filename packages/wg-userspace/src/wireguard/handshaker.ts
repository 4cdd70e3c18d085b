import { wipe } from "../base/bytes.ts";
import type { DropReason } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import { keyId } from "../base/keys.ts";
import type { PacketCipher } from "../base/ports.ts";
import { REKEY_TIMEOUT } from "./constants.ts";
import { InitiatorHandshake, type LocalIdentity, ResponderHandshake } from "./handshake.ts";
import { HandshakeGate } from "./handshake-gate.ts";
import type { IndexTable } from "./index-table.ts";
import { Keypair } from "./keypair.ts";
import {
  COOKIE_REPLY_LENGTH,
  type CookieReply,
  INITIATION_LENGTH,
  type Initiation,
  RESPONSE_LENGTH,
  type Response,
} from "./messages.ts";
import type { Peer, Receiver } from "./peer.ts";
import type { MessageSource } from "./transport.ts";

/** The part of the device that the handshaker uses. */
export interface HandshakerHost {
  readonly peers: ReadonlyMap<string, Peer>;
  readonly indices: IndexTable<Receiver>;
  readonly unixMs: (now: Instant) => number;
  /** Opens and seals everything queued, since it belongs to keypairs that may be about to be replaced. */
  settle(now: Instant): void;
  sealQueued(): void;
  authenticated(peer: Peer, source: MessageSource, now: Instant): void;
  /** Our initiation was answered and its keypair is `current`. */
  initiatedSession(peer: Peer, now: Instant): void;
  sendMessage(peer: Peer | undefined, slot: number, length: number, replyTo: MessageSource | undefined): void;
  drop(reason: DropReason): void;
  log(message: string, peer: Peer, now: Instant): void;
}

/** Sends, answers and finishes the handshakes of all peers of a device. */
export class Handshaker {
  readonly #identity: LocalIdentity;
  readonly #cipher: PacketCipher;
  readonly #host: HandshakerHost;
  readonly #gate: HandshakeGate;

  constructor(identity: LocalIdentity, cipher: PacketCipher, underLoadPerSecond: number, host: HandshakerHost) {
    this.#identity = identity;
    this.#cipher = cipher;
    this.#host = host;
    this.#gate = new HandshakeGate(identity.crypto, identity.random, identity.publicKey, underLoadPerSecond);
  }

  /** Sends an initiation, replacing one in progress, unless the last handshake message is too recent. */
  initiate(peer: Peer, now: Instant): void {
    if (peer.removed) return;
    if (peer.lastHandshakeSentAt !== undefined && now - peer.lastHandshakeSentAt < REKEY_TIMEOUT) {
      if (peer.staged.length > 0) {
        peer.timers.handshakePostponed(peer.lastHandshakeSentAt);
        peer.deadlinesChanged();
      }
      return;
    }
    const { random, privateKey } = this.#identity;
    this.#host.sealQueued(); // seal first: the peer's answer may drop the keypair of these packets
    peer.lastHandshakeSentAt = now;
    peer.timers.handshakeInitiated(now, random.uint32());
    peer.timers.authenticatedSent(now);
    peer.deadlinesChanged();
    this.forget(peer);
    const localIndex = this.#host.indices.insert({ peer, keypair: undefined });
    const message = new Uint8Array(INITIATION_LENGTH);
    const remote = { publicKey: peer.publicKey, staticSecret: peer.staticSecret(privateKey) };
    const timestamp = peer.timestamps.sent.next(this.#host.unixMs(now));
    peer.handshake = InitiatorHandshake.start(this.#identity, remote, localIndex, timestamp, message);
    if (peer.handshake === undefined) {
      this.#host.indices.remove(localIndex);
      this.#host.drop("handshake-failed");
      return;
    }
    this.#host.log("sending handshake initiation", peer, now);
    peer.cookies.addMacs(message, now);
    this.#send(peer, message, undefined);
  }

  /** Abandons the handshake in progress, if any, and wipes it. */
  forget(peer: Peer): void {
    if (peer.handshake === undefined) return;
    this.#host.indices.remove(peer.handshake.localIndex);
    peer.handshake.wipe();
    peer.handshake = undefined;
  }

  handleInitiation(message: Initiation, source: MessageSource, now: Instant): void {
    if (!this.#passGate(message, source, now)) return;
    const handshake = ResponderHandshake.open(this.#identity, message);
    const refused = handshake === undefined ? "handshake-failed" : this.#answer(handshake, message, source, now);
    handshake?.wipe();
    if (refused !== undefined) this.#host.drop(refused);
  }

  handleResponse(message: Response, source: MessageSource, now: Instant): void {
    if (!this.#passGate(message, source, now)) return;
    const receiver = this.#host.indices.lookup(message.receiverIndex);
    const handshake = receiver?.peer.handshake;
    if (receiver === undefined || handshake?.localIndex !== message.receiverIndex) {
      this.#host.drop("unknown-index");
      return;
    }
    const { peer } = receiver;
    const keys = handshake.finish(message, peer.presharedKey);
    if (keys === undefined) {
      this.#host.drop("handshake-failed");
      return;
    }
    this.#host.authenticated(peer, source, now);
    this.#host.settle(now);
    if (peer.handshake !== handshake) {
      wipe(keys.send, keys.receive); // a callback removed the peer
      return;
    }
    handshake.wipe();
    peer.handshake = undefined;
    receiver.keypair = new Keypair(keys, true, message.receiverIndex, message.senderIndex, now);
    peer.keypairs.installInitiated(receiver.keypair);
    peer.timers.sessionDerived(now);
    this.#host.initiatedSession(peer, now);
  }

  handleCookieReply(reply: CookieReply, now: Instant): void {
    const receiver = this.#host.indices.lookup(reply.receiverIndex);
    if (receiver === undefined) {
      this.#host.drop("unknown-index");
      return;
    }
    // The cookie is for the next message, which a timer sends: a reply must not trigger a send at once.
    if (receiver.peer.cookies.consumeReply(reply, now)) this.#host.log("got a cookie", receiver.peer, now);
    else this.#host.drop("bad-tag");
  }

  wipe(): void {
    this.#gate.wipe();
  }

  /** Returns the reason to drop the initiation, if there is one. */
  #answer(
    handshake: ResponderHandshake,
    message: Initiation,
    source: MessageSource,
    now: Instant,
  ): DropReason | undefined {
    const { indices } = this.#host;
    const peer = this.#host.peers.get(keyId(handshake.claimedStatic));
    if (peer === undefined) return "unknown-peer";
    const timestamp = handshake.openTimestamp(peer.staticSecret(this.#identity.privateKey));
    if (timestamp === undefined) return "handshake-failed";
    const refused = peer.timestamps.received.accept(timestamp, now);
    if (refused !== undefined) return refused;
    this.#host.authenticated(peer, source, now);
    this.#host.settle(now);
    if (peer.removed) return "unknown-peer"; // removed by a callback
    const receiver: Receiver = { peer, keypair: undefined };
    const localIndex = indices.insert(receiver);
    const response = new Uint8Array(RESPONSE_LENGTH);
    const keys = handshake.respond(localIndex, peer.presharedKey, response);
    if (keys === undefined) {
      indices.remove(localIndex);
      return "handshake-failed";
    }
    receiver.keypair = new Keypair(keys, false, localIndex, message.senderIndex, now);
    peer.keypairs.installResponded(receiver.keypair);
    peer.lastHandshakeSentAt = now;
    peer.timers.sessionDerived(now);
    peer.timers.authenticatedSent(now);
    peer.deadlinesChanged();
    this.#host.log("answering handshake initiation", peer, now);
    peer.cookies.addMacs(response, now);
    this.#send(peer, response, undefined);
    return undefined;
  }

  /** False when the message is dropped; a cookie reply may have been sent for it. */
  #passGate(message: Initiation | Response, source: MessageSource, now: Instant): boolean {
    const refused = this.#gate.check(message, source.id, source.hostId ?? source.id, now);
    if (refused === undefined) return true;
    this.#host.drop(refused);
    if (refused === "under-load" && this.#gate.mayReply(now)) {
      const reply = new Uint8Array(COOKIE_REPLY_LENGTH);
      this.#gate.writeReply(message, message.senderIndex, source.id, now, reply);
      this.#send(undefined, reply, source);
    }
    return false;
  }

  #send(peer: Peer | undefined, message: Uint8Array, replyTo: MessageSource | undefined): void {
    const slot = this.#cipher.tx.leaseForControl();
    if (slot < 0) {
      this.#host.drop("no-slot"); // counts as lost on the way: timers repeat it
      return;
    }
    this.#cipher.memory.bytes.set(message, slot);
    this.#host.sendMessage(peer, slot, message.length, replyTo);
  }
}
