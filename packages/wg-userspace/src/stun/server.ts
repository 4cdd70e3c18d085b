/**
 * A STUN server as a function from datagram to answer (RFC 8489 Binding over UDP, nothing else). It keeps no state per
 * client beyond a fixed table of rate limits, and never sends anything but the answer to the sender: requests for
 * another destination (CHANGE-REQUEST, RESPONSE-ADDRESS and the like) are dropped.
 */
import type { Instant } from "../base/instant.ts";
import { type AddrPort, type IpAddress, isIpv4 } from "../base/ip.ts";
import { encodeBindingResponse, parseBindingRequest } from "./message.ts";

export interface StunServerLimits {
  /** Requests of one source per second, and in a burst. A source is an IPv4 address or an IPv6 /64. */
  readonly perSecond: number;
  readonly burst: number;
  /** Sources distinguished at a time; a power of two. Beyond it, sources share limits. */
  readonly slots: number;
}

/** An office behind one address, whose machines all start at once, stays well below. */
const DEFAULT_LIMITS: StunServerLimits = { perSecond: 200, burst: 1000, slots: 8192 };

/** Largest ratio of an answer to its request: the bound of amplification towards a spoofed source. */
const MAX_AMPLIFICATION = 1.6;
const RESPONSE_V4_BYTES = 32;
const RESPONSE_V6_BYTES = 44;
const HEADER_BYTES = 20;
/** Attributes below this value must be understood by the server (RFC 8489 §14). */
const OPTIONAL_ATTRIBUTES = 0x8000;

export type StunDropReason =
  /** Not a well-formed Binding request. */
  | "malformed"
  /** Demands something other than a plain answer to its sender, or an unknown feature. */
  | "demanding"
  /** The answer would exceed the ratio. */
  | "too-small"
  | "rate-limited";

export interface StunServerCounts {
  answeredV4: number;
  answeredV6: number;
  readonly dropped: Record<StunDropReason, number>;
}

export class StunServer {
  readonly counts: StunServerCounts = {
    answeredV4: 0,
    answeredV6: 0,
    dropped: { malformed: 0, demanding: 0, "too-small": 0, "rate-limited": 0 },
  };
  readonly #limits: StunServerLimits;
  readonly #seed: number;
  /** Token buckets by hash of the source: memory does not depend on how many sources there are. */
  readonly #tokens: Float64Array;
  readonly #filledAt: Float64Array;

  /** @param options.seed Any unpredictable 32-bit number; it decides which sources share a limit. */
  constructor(options: { readonly seed: number; readonly limits?: Partial<StunServerLimits> | undefined }) {
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const { slots, burst } = this.#limits;
    if (slots < 1 || (slots & (slots - 1)) !== 0) throw new RangeError(`slots is ${slots}, want a power of two`);
    this.#seed = options.seed >>> 0;
    this.#tokens = new Float64Array(slots).fill(burst);
    this.#filledAt = new Float64Array(slots);
  }

  /**
   * @param datagram Borrowed.
   * @param from As the socket saw it; an IPv4 sender as IPv4, not mapped into IPv6.
   * @returns The answer, to be sent to `from` and nowhere else. Undefined if the datagram is to be dropped.
   */
  handle(datagram: Uint8Array, from: AddrPort, now: Instant): Uint8Array | undefined {
    const { dropped } = this.counts;
    const request = from.port === 0 ? undefined : parseBindingRequest(datagram);
    if (request === undefined) {
      dropped.malformed++;
      return undefined;
    }
    if (isDemanding(datagram)) {
      dropped.demanding++;
      return undefined;
    }
    const v4 = isIpv4(from.address);
    if ((v4 ? RESPONSE_V4_BYTES : RESPONSE_V6_BYTES) > MAX_AMPLIFICATION * datagram.length) {
      dropped["too-small"]++;
      return undefined;
    }
    if (!this.#take(from.address, now)) {
      dropped["rate-limited"]++;
      return undefined;
    }
    if (v4) this.counts.answeredV4++;
    else this.counts.answeredV6++;
    return encodeBindingResponse(request.transactionId, from);
  }

  #take(source: IpAddress, now: Instant): boolean {
    const { slots, perSecond, burst } = this.#limits;
    const slot = hash(source, this.#seed) & (slots - 1);
    const elapsedMs = Math.max(0, now - this.#filledAt[slot]!);
    const tokens = Math.min(burst, this.#tokens[slot]! + (elapsedMs / 1000) * perSecond);
    this.#filledAt[slot] = now;
    this.#tokens[slot] = tokens < 1 ? tokens : tokens - 1;
    return tokens >= 1;
  }
}

/** Whether a well-formed request has an attribute that must be honoured and is not supported. */
function isDemanding(request: Uint8Array): boolean {
  for (let at = HEADER_BYTES; at + 4 <= request.length; ) {
    const type = (request[at]! << 8) | request[at + 1]!;
    if (type < OPTIONAL_ATTRIBUTES) return true;
    at += 4 + ((((request[at + 2]! << 8) | request[at + 3]!) + 3) & ~3);
  }
  return false;
}

/** FNV-1a with a seed, and a finish that spreads it over the low bits. An IPv6 source counts as its /64. */
function hash(source: IpAddress, seed: number): number {
  let h = (0x811c9dc5 ^ seed) >>> 0;
  const length = Math.min(8, source.length);
  for (let i = 0; i < length; i++) h = Math.imul(h ^ source[i]!, 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}
