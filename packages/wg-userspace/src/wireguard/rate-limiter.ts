import { hexEncode } from "../base/bytes.ts";
import type { Instant } from "../base/instant.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import { SOURCE_RATE_BURST, SOURCE_RATE_ENTRIES, SOURCE_RATE_IDLE_TIME, SOURCE_RATE_PER_SECOND } from "./constants.ts";

/**
 * Handshakes per source under load. Only sources that proved their address with a cookie are counted here. Holds at
 * most SOURCE_RATE_ENTRIES sources: when all of them are active, a new one is refused.
 */
export class SourceRateLimiter {
  /** In order of last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  get size(): number {
    return this.#buckets.size;
  }

  allow(source: Uint8Array, now: Instant): boolean {
    const key = hexEncode(source);
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      this.#forgetIdle(now);
      if (this.#buckets.size >= SOURCE_RATE_ENTRIES) return false;
      bucket = new TokenBucket(SOURCE_RATE_PER_SECOND, SOURCE_RATE_BURST);
    } else {
      this.#buckets.delete(key);
    }
    this.#buckets.set(key, bucket);
    return bucket.take(now);
  }

  #forgetIdle(now: Instant): void {
    for (const [key, bucket] of this.#buckets) {
      if (bucket.usedAt !== undefined && now - bucket.usedAt < SOURCE_RATE_IDLE_TIME) return;
      this.#buckets.delete(key);
    }
  }
}

/** Detects handshakes at more than `perSecond`; the state lasts for `holdMs` after the last excess. */
export class LoadMeter {
  readonly #perSecond: number;
  readonly #holdMs: number;
  #windowStart: Instant | undefined;
  #count = 0;
  #loadUntil: Instant | undefined;

  constructor(perSecond: number, holdMs: number) {
    this.#perSecond = perSecond;
    this.#holdMs = holdMs;
  }

  /** Counts one handshake message and returns whether we are under load. */
  note(now: Instant): boolean {
    if (this.#windowStart === undefined || now - this.#windowStart >= 1000) {
      this.#windowStart = now;
      this.#count = 0;
    }
    this.#count++;
    if (this.#count > this.#perSecond) this.#loadUntil = (now + this.#holdMs) as Instant;
    return this.#loadUntil !== undefined && now < this.#loadUntil;
  }
}
