/** Token buckets by key. Bounded: when full, the bucket used longest ago is forgotten. */
export class RateLimit {
  readonly #capacity: number;
  readonly #refillPerMs: number;
  readonly #maxKeys: number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** `capacity` attempts at once, and as many again in each `periodMs`. */
  constructor(options: { capacity: number; periodMs: number; maxKeys?: number }) {
    this.#capacity = options.capacity;
    this.#refillPerMs = options.capacity / options.periodMs;
    this.#maxKeys = options.maxKeys ?? 10_000;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one attempt. Returns 0, or the milliseconds until the next is allowed. */
  take(key: string, now: number): number {
    const bucket = this.#buckets.get(key);
    // Going backwards, the wall clock must not take attempts away.
    const elapsed = bucket === undefined ? 0 : Math.max(0, now - bucket.at);
    const tokens =
      bucket === undefined ? this.#capacity : Math.min(this.#capacity, bucket.tokens + elapsed * this.#refillPerMs);
    this.#buckets.delete(key);
    if (this.#buckets.size >= this.#maxKeys) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    const allowed = tokens >= 1;
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, at: now });
    return allowed ? 0 : Math.ceil((1 - tokens) / this.#refillPerMs);
  }
}
