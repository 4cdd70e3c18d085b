import type { Instant } from "../base/instant.ts";
import { formatIp, type IpAddress } from "../base/ip.ts";

/** Hold-off after the first, second … failure in a row; the last one repeats. A single one may happen to any path. */
const HOLD_MS = [0, 15_000, 60_000, 4 * 60_000, 15 * 60_000, 30 * 60_000];
/** A path that lasted this long has proved itself: what happened before no longer counts. */
const PROVEN_LIFE_MS = 5 * 60_000;
/** Without a failure for this long beyond the hold-off, earlier ones are forgotten. */
const FORGET_MS = 30 * 60_000;
/** Addresses remembered for one peer; the one that failed longest ago is forgotten first. */
const MAX_ADDRESSES = 16;
const MAX_LIFETIMES = 5;
/** Fewer probes say nothing about loss. */
const MIN_ASKED = 6;

interface Record {
  /** Failures in a row. */
  count: number;
  lastAt: Instant;
  heldUntil: number;
  /** How long the path lasted before each of the latest failures. */
  readonly lifetimesMs: number[];
  /** Probes before the silence, and their answers, over all those lives. */
  asked: number;
  answered: number;
}

/** How long a path carried traffic, and how it answered until it fell silent. */
export interface PathLifetime {
  readonly ms: number;
  readonly asked: number;
  readonly answered: number;
}

/** The report about a path that keeps failing. */
export interface FailureSummary {
  readonly count: number;
  /** How long it typically lasted: the median of the last few. */
  readonly lifeMs: number;
  /** When it may be used again; in the past when it may now. */
  readonly heldUntil: number;
  /**
   * Share of the probes without an answer while it lived; undefined when there were few. A flow that a firewall ends is
   * answered well until then; a path that loses much falls silent by chance.
   */
  readonly loss: number | undefined;
}

/**
 * Which addresses of one peer stopped answering while they carried traffic and the peer was there, how often, and until when they
 * are left alone. Firewalls that end a flow after some seconds or packets let the next one through at once, so that a path
 * without memory would be chosen and lost repeatedly. Remembered by address without port, since the next flow to the address has
 * the same fate.
 */
export class PathFailures {
  readonly #records = new Map<string, Record>();

  /** The path to `address` went silent after `life`. */
  add(address: IpAddress, life: PathLifetime, now: Instant): void {
    const key = formatIp(address);
    const known = this.#current(key, now);
    const record = known ?? { count: 0, lastAt: now, heldUntil: 0, lifetimesMs: [], asked: 0, answered: 0 };
    if (life.ms >= PROVEN_LIFE_MS) {
      record.count = 0;
      record.lifetimesMs.length = 0;
      record.asked = record.answered = 0;
    }
    record.count++;
    record.lastAt = now;
    record.lifetimesMs.push(life.ms);
    record.asked += life.asked;
    record.answered += life.answered;
    if (record.lifetimesMs.length > MAX_LIFETIMES) record.lifetimesMs.shift();
    record.heldUntil = now + HOLD_MS[Math.min(record.count, HOLD_MS.length) - 1]!;
    this.#records.delete(key);
    if (this.#records.size >= MAX_ADDRESSES) this.#forgetOldest();
    this.#records.set(key, record);
  }

  /** Until when the address is left alone; in the past for one that may be used. */
  heldUntil(address: IpAddress, now: Instant): number {
    if (this.#records.size === 0) return Number.NEGATIVE_INFINITY;
    return this.#current(formatIp(address), now)?.heldUntil ?? Number.NEGATIVE_INFINITY;
  }

  summary(address: IpAddress, now: Instant): FailureSummary | undefined {
    const record = this.#current(formatIp(address), now);
    if (record === undefined) return undefined;
    const lives = [...record.lifetimesMs].sort((a, b) => a - b);
    return {
      count: record.count,
      lifeMs: lives[lives.length >> 1]!,
      heldUntil: record.heldUntil,
      // Answers to probes of larger sizes are counted too, so there may be more answers than probes.
      loss: record.asked < MIN_ASKED ? undefined : Math.max(0, 1 - record.answered / record.asked),
    };
  }

  /** The network changed. */
  clear(): void {
    this.#records.clear();
  }

  #current(key: string, now: Instant): Record | undefined {
    const record = this.#records.get(key);
    if (record === undefined || now - Math.max(record.heldUntil, record.lastAt) < FORGET_MS) return record;
    this.#records.delete(key);
    return undefined;
  }

  #forgetOldest(): void {
    for (const key of this.#records.keys()) {
      this.#records.delete(key);
      return;
    }
  }
}
