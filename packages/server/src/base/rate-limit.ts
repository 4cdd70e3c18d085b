/**
 * Token buckets by key. Bounded: when full, the least recently used bucket is forgotten. If several servers accept attempts, each
 * gets its share.
 */
export class RateLimit {
  readonly #wholeCapacity: number;
  readonly #periodMs: number;
  readonly #servers: () => number;
  readonly #maxKeys: number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /**
   * Allows `capacity` attempts at once, and as many again in each `periodMs`, across all `servers` together (by default only this
   * one).
   */
  constructor(options: { capacity: number; periodMs: number; maxKeys?: number; servers?: () => number }) {
    this.#wholeCapacity = options.capacity;
    this.#periodMs = options.periodMs;
    this.#servers = options.servers ?? (() => 1);
    this.#maxKeys = options.maxKeys ?? 10_000;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one attempt. Returns 0, or the number of milliseconds until the next is allowed. */
  take(key: string, now: number): number {
    const capacity = Math.max(1, Math.round(this.#wholeCapacity / Math.max(1, this.#servers())));
    const refillPerMs = capacity / this.#periodMs;
    const bucket = this.#buckets.get(key);
    // If the wall clock goes back, it must not take attempts away.
    const elapsed = bucket === undefined ? 0 : Math.max(0, now - bucket.at);
    const tokens = bucket === undefined ? capacity : Math.min(capacity, bucket.tokens + elapsed * refillPerMs);
    this.#buckets.delete(key);
    if (this.#buckets.size >= this.#maxKeys) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    const allowed = tokens >= 1;
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, at: now });
    return allowed ? 0 : Math.ceil((1 - tokens) / refillPerMs);
  }

  /** An attempt that was taken is not to count. */
  giveBack(key: string): void {
    const bucket = this.#buckets.get(key);
    if (bucket !== undefined) bucket.tokens = Math.min(this.#wholeCapacity, bucket.tokens + 1);
  }
}
