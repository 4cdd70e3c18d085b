import type { Instant } from "../base/instant.ts";
import { formatIp, type IpAddress } from "../base/ip.ts";

/** Destinations remembered; beyond it the oldest is forgotten. */
const MAX_ENTRIES = 256;
/** RFC 8201 §4: after ten minutes a larger packet may be tried again. */
const LIFE_MS = 600_000;

/** MTUs from packet-too-big messages (RFC 8201 §5.2, RFC 1191 §3). Control path: keyed by text. */
export class PathMtuCache {
  readonly #entries = new Map<string, { readonly mtu: number; readonly until: number }>();

  get(address: IpAddress, now: Instant): number | undefined {
    if (this.#entries.size === 0) return undefined;
    const key = formatIp(address);
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.until > now) return entry.mtu;
    this.#entries.delete(key);
    return undefined;
  }

  set(address: IpAddress, mtu: number, now: Instant): void {
    const key = formatIp(address);
    this.#entries.delete(key);
    if (this.#entries.size >= MAX_ENTRIES)
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    this.#entries.set(key, { mtu, until: now + LIFE_MS });
  }

  clear(): void {
    this.#entries.clear();
  }
}
