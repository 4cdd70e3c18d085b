/**
 * Token buckets by key. Bounded: when full, the bucket used longest ago is forgotten. Where several servers take attempts, each
 * has its share of them.
 */
export class RateLimit {
  readonly #wholeCapacity: number;
  readonly #periodMs: number;
  readonly #servers: () => number;
  readonly #maxKeys: number;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  /** `capacity` attempts at once, and as many again in each `periodMs`, at all `servers` together; default: this one. */
  constructor(options: { capacity: number; periodMs: number; maxKeys?: number; servers?: () => number }) {
    this.#wholeCapacity = options.capacity;
    this.#periodMs = options.periodMs;
    this.#servers = options.servers ?? (() => 1);
    this.#maxKeys = options.maxKeys ?? 10_000;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one attempt. Returns 0, or the milliseconds until the next is allowed. */
  take(key: string, now: number): number {
    const capacity = Math.max(1, Math.round(this.#wholeCapacity / Math.max(1, this.#servers())));
    const refillPerMs = capacity / this.#periodMs;
    const bucket = this.#buckets.get(key);
    // Going backwards, the wall clock must not take attempts away.
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
}
