import type { Instant } from "../base/instant.ts";
import { formatIp, type IpAddress } from "../base/ip.ts";
import { TokenBucket } from "../base/token-bucket.ts";

/** Probes to one address at once, and per second after that, for all peers together. */
export const PROBE_BURST = 64;
export const PROBES_PER_SECOND = 16;
const MAX_ADDRESSES = 2048;

/**
 * Limits the probes that go to any one address: peers name the addresses, so without it a peer could aim our probes at a
 * third party. When the table is full the address that was probed longest ago is forgotten; it was idle, so its bucket was
 * full or nearly so.
 */
export class ProbeBudget {
  /** In order of last use. */
  readonly #buckets = new Map<string, TokenBucket>();

  /** Takes one probe from the address's bucket; false when it is empty. */
  take(address: IpAddress, now: Instant): boolean {
    const key = formatIp(address);
    const bucket = this.#buckets.get(key) ?? new TokenBucket(PROBES_PER_SECOND, PROBE_BURST);
    this.#buckets.delete(key);
    if (this.#buckets.size >= MAX_ADDRESSES) this.#forgetOldest();
    this.#buckets.set(key, bucket);
    return bucket.take(now);
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
