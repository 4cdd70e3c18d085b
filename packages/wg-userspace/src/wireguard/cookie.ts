/**
 * MAC1, MAC2 and cookies (whitepaper §5.4.4, §5.4.7): the cheap checks before any expensive work on a handshake
 * message.
 */
import { utf8, wipe } from "../base/bytes.ts";
import type { Instant } from "../base/instant.ts";
import type { CryptoSuite, RandomSource } from "../base/ports.ts";
import { COOKIE_NONCE_LENGTH, COOKIE_REFRESH_TIME, KEY_LENGTH } from "./constants.ts";
import { type CookieReply, type MacFields, macFields, writeCookieReply } from "./messages.ts";

const MAC1_LABEL = utf8("mac1----");
const COOKIE_LABEL = utf8("cookie--");

/** Checks the macs of messages sent to us and issues cookies. One per device. */
export class CookieChecker {
  readonly #crypto: CryptoSuite;
  readonly #random: RandomSource;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #secret: Uint8Array | undefined;
  #secretAt: Instant | undefined;

  constructor(crypto: CryptoSuite, random: RandomSource, ourPublicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#random = random;
    this.#mac1Key = crypto.blake2s(MAC1_LABEL, ourPublicKey);
    this.#cookieKey = crypto.blake2s(COOKIE_LABEL, ourPublicKey);
  }

  checkMac1(message: MacFields): boolean {
    return this.#crypto.equal(this.#crypto.macBlake2s(this.#mac1Key, message.beforeMac1), message.mac1);
  }

  /** Whether the sender holds a cookie that we issued to this source address less than COOKIE_REFRESH_TIME ago. */
  checkMac2(message: MacFields, sourceId: Uint8Array, now: Instant): boolean {
    if (this.#secret === undefined || this.#secretExpired(now)) return false;
    const cookie = this.#crypto.macBlake2s(this.#secret, sourceId);
    const valid = this.#crypto.equal(this.#crypto.macBlake2s(cookie, message.beforeMac2), message.mac2);
    wipe(cookie);
    return valid;
  }

  /** Answers a message of `senderIndex` that came from `sourceId`. `out` has COOKIE_REPLY_LENGTH bytes. */
  writeReply(message: MacFields, senderIndex: number, sourceId: Uint8Array, now: Instant, out: Uint8Array): void {
    if (this.#secret === undefined || this.#secretExpired(now)) {
      if (this.#secret !== undefined) wipe(this.#secret);
      this.#secret = this.#random.bytes(KEY_LENGTH);
      this.#secretAt = now;
    }
    const cookie = this.#crypto.macBlake2s(this.#secret, sourceId);
    const nonce = this.#random.bytes(COOKIE_NONCE_LENGTH);
    writeCookieReply(out, senderIndex, nonce, this.#crypto.sealX(this.#cookieKey, nonce, cookie, message.mac1));
    wipe(cookie);
  }

  wipe(): void {
    if (this.#secret !== undefined) wipe(this.#secret);
    this.#secret = undefined;
  }

  #secretExpired(now: Instant): boolean {
    return this.#secretAt === undefined || now - this.#secretAt >= COOKIE_REFRESH_TIME;
  }
}

/** Adds macs to the messages we send to one peer and keeps the cookie it gave us. One per peer. */
export class CookieJar {
  readonly #crypto: CryptoSuite;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  #lastMac1: Uint8Array | undefined;
  #cookie: Uint8Array | undefined;
  #cookieAt: Instant | undefined;

  constructor(crypto: CryptoSuite, peerPublicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1Key = crypto.blake2s(MAC1_LABEL, peerPublicKey);
    this.#cookieKey = crypto.blake2s(COOKIE_LABEL, peerPublicKey);
  }

  /** Completes an initiation or response, whose macs are zero. */
  addMacs(message: Uint8Array, now: Instant): void {
    const { beforeMac1, mac1, beforeMac2, mac2 } = macFields(message, 0, message.length);
    this.#lastMac1 = this.#crypto.macBlake2s(this.#mac1Key, beforeMac1);
    mac1.set(this.#lastMac1);
    if (this.#cookie === undefined || this.#cookieAt === undefined) return;
    if (now - this.#cookieAt >= COOKIE_REFRESH_TIME) {
      this.wipe();
      return;
    }
    mac2.set(this.#crypto.macBlake2s(this.#cookie, beforeMac2));
  }

  /** Keeps the cookie for the next message. False when the reply does not answer our last message. */
  consumeReply(reply: CookieReply, now: Instant): boolean {
    if (this.#lastMac1 === undefined) return false;
    const cookie = this.#crypto.openX(this.#cookieKey, reply.nonce, reply.sealedCookie, this.#lastMac1);
    if (cookie === undefined) return false;
    this.wipe();
    this.#cookie = cookie;
    this.#cookieAt = now;
    return true;
  }

  wipe(): void {
    if (this.#cookie !== undefined) wipe(this.#cookie);
    this.#cookie = undefined;
    this.#cookieAt = undefined;
  }
}
