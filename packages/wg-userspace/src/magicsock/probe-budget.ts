import type { Instant } from "../base/instant.ts";
import { formatIp, type IpAddress } from "../base/ip.ts";

/** Probes that one address may get at once, and per second after that, from all peers together. */
export const PROBE_BURST = 64;
export const PROBES_PER_SECOND = 16;
const MAX_ADDRESSES = 2048;

/**
 * Limits the probes that go to any one address: peers name the addresses, so without it a peer could aim our probes at a
 * third party (security statement 23). When the table is full the address that was probed longest ago is forgotten; it was
 * idle, so its bucket was full or nearly so.
 */
export class ProbeBudget {
  readonly #buckets = new Map<string, { tokens: number; at: Instant }>();

  /** Takes one probe from the address's bucket; false when it is empty. */
  take(address: IpAddress, now: Instant): boolean {
    const key = formatIp(address);
    const known = this.#buckets.get(key);
    const tokens =
      known === undefined
        ? PROBE_BURST
        : Math.min(PROBE_BURST, known.tokens + ((now - known.at) / 1000) * PROBES_PER_SECOND);
    this.#buckets.delete(key);
    if (this.#buckets.size >= MAX_ADDRESSES) this.#forgetOldest();
    const granted = tokens >= 1;
    this.#buckets.set(key, { tokens: granted ? tokens - 1 : tokens, at: now });
    return granted;
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
