import type { Instant } from "../../base/instant.ts";
import { ACK, type TcpSegment } from "../wire/tcp.ts";
import type { PassiveOpen } from "./contract.ts";
import type { TcpDefaults } from "./options.ts";

/** The options that both sides of a connection have to offer in their SYNs, and the clock of its timestamps (RFC 7323). */
export class Negotiation {
  scaling: boolean;
  sack: boolean;
  timestamps: boolean;
  readonly #timestampOffset: number;

  /** @param passive What the peer's SYN offered; undefined where we open. */
  constructor(tcp: TcpDefaults, passive: PassiveOpen | undefined, timestampOffset: number) {
    this.scaling = tcp.windowScaling && (passive === undefined || passive.windowScale >= 0);
    this.sack = tcp.sack && (passive === undefined || passive.sackPermitted);
    this.timestamps = tcp.timestamps && (passive === undefined || passive.hasTimestamps);
    this.#timestampOffset = timestampOffset;
  }

  /** The peer's SYN answers ours: what it does not offer is not used. */
  answered(syn: TcpSegment): void {
    this.scaling = this.scaling && syn.windowScale >= 0;
    this.sack = this.sack && syn.sackPermitted;
    this.timestamps = this.timestamps && syn.hasTimestamps;
  }

  timestamp(now: Instant): number {
    return (Math.floor(now) + this.#timestampOffset) >>> 0;
  }

  /** When we created the timestamp that a segment echoes; -1 when unknown. */
  echoedAt(segment: TcpSegment, now: Instant): number {
    const ageMs = this.echoAgeMs(segment, now);
    return ageMs < 0 ? -1 : Math.max(Math.floor(now) - ageMs, 0);
  }

  /** How many whole ms ago that was; -1 when unknown. */
  echoAgeMs(segment: TcpSegment, now: Instant): number {
    if (!this.timestamps || !segment.hasTimestamps || (segment.flags & ACK) === 0) return -1;
    return Math.max((this.timestamp(now) - segment.tsEcho) | 0, -1);
  }
}
