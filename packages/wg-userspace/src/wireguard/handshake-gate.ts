import type { Instant } from "../base/instant.ts";
import type { CryptoSuite, RandomSource } from "../base/ports.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import { COOKIE_REPLIES_PER_SECOND, UNDER_LOAD_AFTER_TIME } from "./constants.ts";
import { CookieChecker } from "./cookie.ts";
import type { MacFields } from "./messages.ts";
import { LoadMeter, SourceRateLimiter } from "./rate-limiter.ts";

/** Decides which handshake messages are answered with a key agreement. Costs no more than hashing. */
export class HandshakeGate {
  readonly #cookies: CookieChecker;
  readonly #load: LoadMeter;
  readonly #sources = new SourceRateLimiter();
  readonly #replies = new TokenBucket(COOKIE_REPLIES_PER_SECOND, COOKIE_REPLIES_PER_SECOND / 10);

  constructor(crypto: CryptoSuite, random: RandomSource, ourPublicKey: Uint8Array, underLoadPerSecond: number) {
    this.#cookies = new CookieChecker(crypto, random, ourPublicKey);
    this.#load = new LoadMeter(underLoadPerSecond, UNDER_LOAD_AFTER_TIME);
  }

  /** Undefined lets the message pass; after "under-load" the sender should get a cookie. */
  check(
    message: MacFields,
    sourceId: Uint8Array,
    hostId: Uint8Array,
    now: Instant,
  ): "bad-mac" | "under-load" | "rate-limited" | undefined {
    if (!this.#cookies.checkMac1(message)) return "bad-mac";
    if (!this.#load.note(now)) return undefined;
    if (!this.#cookies.checkMac2(message, sourceId, now)) return "under-load";
    return this.#sources.allow(hostId, now) ? undefined : "rate-limited";
  }

  mayReply(now: Instant): boolean {
    return this.#replies.take(now);
  }

  /** `out` has room for COOKIE_REPLY_LENGTH bytes. */
  writeReply(message: MacFields, senderIndex: number, sourceId: Uint8Array, now: Instant, out: Uint8Array): void {
    this.#cookies.writeReply(message, senderIndex, sourceId, now, out);
  }

  wipe(): void {
    this.#cookies.wipe();
  }
}
