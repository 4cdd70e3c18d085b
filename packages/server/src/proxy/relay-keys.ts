/**
 * Decides which clients a workspace proxy's relay admits, by the keys that the primary names on a stream, which begins with all
 * keys and continues with changes. A primary that has just started knows only a few of its nodes, and another server of its
 * cluster may be behind, so keys that the first snapshot of a new stream lacks stay admitted for a grace period, or until the
 * primary names them as removed. Pure.
 */
import type { RelayKeysMessage } from "coder-protocol/rest/workspace-proxies";
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";
import { addMs, earliest, type Instant } from "wg-userspace/base/instant";

/**
 * - `closed`: not registered yet;
 * - `open`: the primary names no keys, so every client is admitted;
 * - `listed`: only clients whose keys it named are admitted;
 * - `frozen`: it was silent for too long, so connected clients stay and no others are admitted.
 */
export type AdmissionState = "closed" | "open" | "listed" | "frozen";

/** What a message changed. */
export interface KeyChanges {
  readonly admitted: readonly Uint8Array[];
  /** Keys that are no longer admitted. */
  readonly removed: readonly Uint8Array[];
  /** Clients with keys that were never named may be connected, and are no longer admitted. */
  readonly unnamed: boolean;
}

/** Nodes reconnect to a restarted primary well within this time. */
const GRACE_MS = 60_000;
/** As long as a key may use the primary's own relay without being confirmed. */
const SILENCE_MS = 15 * 60_000;
/** Ten times what one server accepts. */
const MAX_KEYS = 200_000;
const HEX_KEY = /^[0-9a-f]{64}$/;
const NO_CHANGES: KeyChanges = { admitted: [], removed: [], unnamed: false };

export class RelayKeys {
  readonly #maxKeys: number;
  readonly #graceMs: number;
  #mode: "closed" | "open" | "listed" = "closed";
  #keys = new Set<string>();
  /** Keys that the snapshot of a new stream lacked, with the end of their grace period; the earliest first. */
  #graces = new Map<string, Instant>();
  /** Every client was admitted until the primary named keys. */
  #admittedAll = false;
  /** Until this time, clients stay that connected while every client was admitted. */
  #unnamedUntil: Instant | undefined;
  /** The stream has not yet named all keys. */
  #isNew = true;
  /** A snapshot that has not ended yet. */
  #arriving: Set<string> | undefined;
  #complete = false;
  #heardAt: Instant | undefined;

  constructor(options: { readonly maxKeys?: number | undefined; readonly graceMs?: number | undefined } = {}) {
    this.#maxKeys = options.maxKeys ?? MAX_KEYS;
    this.#graceMs = options.graceMs ?? GRACE_MS;
  }

  /** Number of known keys. */
  get size(): number {
    return this.#keys.size;
  }

  /** Whether all keys of a snapshot have been named. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Time since the stream last sent anything. Undefined if it never did. */
  ageMs(now: Instant): number | undefined {
    return this.#heardAt === undefined ? undefined : now - this.#heardAt;
  }

  state(now: Instant): AdmissionState {
    if (this.#mode !== "listed" || this.#heardAt === undefined) return this.#mode;
    return now < addMs(this.#heardAt, SILENCE_MS) ? "listed" : "frozen";
  }

  /** The primary accepted the registration. Returns whether the state of admission changed. */
  registered(listed: boolean): boolean {
    const mode = listed ? "listed" : "open";
    if (mode === this.#mode) return false;
    this.#admittedAll = this.#mode === "open";
    this.#mode = mode;
    this.#keys = new Set();
    this.#graces = new Map();
    this.#unnamedUntil = undefined;
    this.#arriving = undefined;
    this.#complete = false;
    this.#heardAt = undefined;
    return true;
  }

  /** A new stream was opened, which will begin with a snapshot. */
  opened(now: Instant): void {
    this.#isNew = true;
    this.#arriving = undefined;
    this.heard(now);
  }

  /** The stream sent something. */
  heard(now: Instant): void {
    if (this.#complete) this.#heardAt = now;
  }

  /** Undefined if the message breaks the protocol, in which case the stream has to be reopened. The known keys are kept. */
  received(message: RelayKeysMessage, now: Instant): KeyChanges | undefined {
    const { add = [], remove = [] } = message;
    if (!add.every(isKey) || !remove.every(isKey)) return undefined;
    if (message.snapshot === true) this.#arriving = new Set();
    else if (this.#arriving === undefined && !this.#complete) return undefined;
    const changes =
      this.#arriving === undefined ? this.#change(add, remove) : this.#gather(add, message.more === true, now);
    this.heard(now);
    return changes;
  }

  /** @param connected Whether a client with this key is connected. */
  admits(key: Uint8Array, connected: (key: Uint8Array) => boolean, now: Instant): boolean {
    switch (this.state(now)) {
      case "closed":
        return false;
      case "open":
        return true;
      case "frozen":
        return connected(key);
      case "listed":
        // Clients that connected while every client was admitted stay until the keys are known, and then for the grace period.
        return (this.#complete && this.#isNamed(hexEncode(key))) || (this.#keepsUnnamed(now) && connected(key));
    }
  }

  /** When the next grace period ends. */
  nextTimeout(): Instant | undefined {
    const [first] = this.#graces.values();
    return earliest(first, this.#unnamedUntil);
  }

  handleTimeout(now: Instant): KeyChanges {
    const removed: string[] = [];
    for (const [key, until] of this.#graces) {
      if (now < until) break;
      this.#graces.delete(key);
      removed.push(key);
    }
    const unnamed = this.#unnamedUntil !== undefined && now >= this.#unnamedUntil;
    if (unnamed) this.#unnamedUntil = undefined;
    return { admitted: [], removed: removed.map(hexDecode), unnamed };
  }

  #isNamed(key: string): boolean {
    return this.#keys.has(key) || this.#graces.has(key);
  }

  #keepsUnnamed(now: Instant): boolean {
    return !this.#complete || (this.#unnamedUntil !== undefined && now < this.#unnamedUntil);
  }

  #gather(add: readonly string[], more: boolean, now: Instant): KeyChanges | undefined {
    const arriving = this.#arriving!;
    for (const key of add) arriving.add(key);
    if (arriving.size > this.#maxKeys) {
      this.#arriving = undefined;
      return undefined;
    }
    if (more) return NO_CHANGES;
    const admitted = [...arriving].filter((key) => !this.#isNamed(key));
    const missing = [...this.#keys].filter((key) => !arriving.has(key));
    for (const key of arriving) this.#graces.delete(key);
    if (this.#admittedAll && !this.#complete) this.#unnamedUntil = addMs(now, this.#graceMs);
    const removed = this.#isNew ? this.#grace(missing, now) : missing;
    this.#keys = arriving;
    this.#arriving = undefined;
    this.#complete = true;
    this.#isNew = false;
    return { admitted: admitted.map(hexDecode), removed: removed.map(hexDecode), unnamed: false };
  }

  /** Returns the keys for which there is no room, the oldest ones. */
  #grace(missing: readonly string[], now: Instant): string[] {
    for (const key of missing) this.#graces.set(key, addMs(now, this.#graceMs));
    const dropped: string[] = [];
    for (const key of this.#graces.keys()) {
      if (this.#graces.size <= this.#maxKeys) break;
      this.#graces.delete(key);
      dropped.push(key);
    }
    return dropped;
  }

  #change(add: readonly string[], remove: readonly string[]): KeyChanges | undefined {
    const removed = new Set(remove.filter((key) => this.#isNamed(key)));
    for (const key of add) removed.delete(key);
    const admitted = [...new Set(add)].filter((key) => !this.#keys.has(key));
    const gone = [...removed].filter((key) => this.#keys.has(key)).length;
    if (this.#keys.size - gone + admitted.length > this.#maxKeys) return undefined;
    for (const key of removed) {
      this.#keys.delete(key);
      this.#graces.delete(key);
    }
    for (const key of admitted) {
      this.#keys.add(key);
      this.#graces.delete(key);
    }
    return { admitted: admitted.map(hexDecode), removed: [...removed].map(hexDecode), unnamed: false };
  }
}

function isKey(text: string): boolean {
  return HEX_KEY.test(text);
}
