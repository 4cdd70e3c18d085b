import { bytesEqual } from "../base/bytes.ts";
import type { Instant } from "../base/instant.ts";
import { type IpAddress, ipEqual } from "../base/ip.ts";

/** Pings waiting for an answer. A new one beyond this replaces the oldest, which is then never answered. */
export const MAX_OUTSTANDING_PINGS = 256;

export type PingKind = "tsmp" | "icmp";

interface OutstandingPing {
  readonly kind: PingKind;
  readonly destination: IpAddress;
  readonly data: Uint8Array;
  readonly sentAt: Instant;
  readonly onReply: (rttMs: number) => void;
}

/** Matches echo replies and TSMP pongs with the pings they answer. The stack reads and writes the packets. */
export class Pinger {
  readonly #outstanding = new Set<OutstandingPing>();

  get size(): number {
    return this.#outstanding.size;
  }

  /** @param data The 8 bytes the answer must carry. */
  add(
    kind: PingKind,
    destination: IpAddress,
    data: Uint8Array,
    onReply: (rttMs: number) => void,
    now: Instant,
  ): { cancel(): void } {
    if (this.#outstanding.size >= MAX_OUTSTANDING_PINGS)
      for (const oldest of this.#outstanding) {
        this.#outstanding.delete(oldest);
        break;
      }
    const ping: OutstandingPing = { kind, destination, data, sentAt: now, onReply };
    this.#outstanding.add(ping);
    return { cancel: () => void this.#outstanding.delete(ping) };
  }

  /** @returns whether an outstanding ping was answered. */
  handleReply(kind: PingKind, source: IpAddress, data: Uint8Array, now: Instant): boolean {
    for (const ping of this.#outstanding) {
      if (ping.kind !== kind || !bytesEqual(ping.data, data) || !ipEqual(ping.destination, source)) continue;
      this.#outstanding.delete(ping);
      ping.onReply(now - ping.sentAt);
      return true;
    }
    return false;
  }
}
