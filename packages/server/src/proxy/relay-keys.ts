/**
 * Which clients a workspace proxy's relay admits: the keys that the primary names on a stream, which begins with all of
 * them and then tells changes. Pure.
 */
import type { RelayKeysMessage } from "coder-protocol/rest/workspace-proxies";
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";
import { addMs, type Instant } from "wg-userspace/base/instant";

/**
 *  - `closed`: not registered yet;
 *  - `open`: the primary names no keys, so every client is admitted;
 *  - `listed`: clients whose keys it named;
 *  - `frozen`: it was silent for too long, so the clients that are connected stay, and no others come.
 */
export type AdmissionState = "closed" | "open" | "listed" | "frozen";

/** What a message changed. */
export interface KeyChanges {
  readonly admitted: readonly Uint8Array[];
  /** Some clients may not be admitted any more. */
  readonly removed: boolean;
}

/** As long as a key may use the primary's own relay without being confirmed. */
const SILENCE_MS = 15 * 60_000;
/** Ten times what one server accepts. */
const MAX_KEYS = 200_000;
const HEX_KEY = /^[0-9a-f]{64}$/;
const NO_CHANGES: KeyChanges = { admitted: [], removed: false };

export class RelayKeys {
  readonly #maxKeys: number;
  #mode: "closed" | "open" | "listed" = "closed";
  #keys = new Set<string>();
  /** A snapshot whose end has not come. */
  #arriving: Set<string> | undefined;
  #complete = false;
  #heardAt: Instant | undefined;

  constructor(options: { readonly maxKeys?: number } = {}) {
    this.#maxKeys = options.maxKeys ?? MAX_KEYS;
  }

  /** Keys known. */
  get size(): number {
    return this.#keys.size;
  }

  /** Whether all keys of a snapshot have been named. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Since the stream last gave a sign of life. Undefined: it never did. */
  ageMs(now: Instant): number | undefined {
    return this.#heardAt === undefined ? undefined : now - this.#heardAt;
  }

  state(now: Instant): AdmissionState {
    if (this.#mode !== "listed" || this.#heardAt === undefined) return this.#mode;
    return now < addMs(this.#heardAt, SILENCE_MS) ? "listed" : "frozen";
  }

  /** The primary accepted the registration. Returns whether the way of admission is another one now. */
  registered(listed: boolean): boolean {
    const mode = listed ? "listed" : "open";
    if (mode === this.#mode) return false;
    this.#mode = mode;
    this.#keys = new Set();
    this.#arriving = undefined;
    this.#complete = false;
    this.#heardAt = undefined;
    return true;
  }

  /** A new stream: it begins with a snapshot. */
  opened(now: Instant): void {
    this.#arriving = undefined;
    this.heard(now);
  }

  /** The stream gave a sign of life. */
  heard(now: Instant): void {
    if (this.#complete) this.#heardAt = now;
  }

  /** Undefined: the message breaks the protocol, and the stream has to be opened again. What was known stays. */
  received(message: RelayKeysMessage, now: Instant): KeyChanges | undefined {
    const { add = [], remove = [] } = message;
    if (!add.every(isKey) || !remove.every(isKey)) return undefined;
    if (message.snapshot === true) this.#arriving = new Set();
    else if (this.#arriving === undefined && !this.#complete) return undefined;
    const changes = this.#arriving === undefined ? this.#change(add, remove) : this.#gather(add, message.more === true);
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
        // Clients that came while every client was admitted stay until the keys are known.
        return this.#complete ? this.#keys.has(hexEncode(key)) : connected(key);
    }
  }

  #gather(add: readonly string[], more: boolean): KeyChanges | undefined {
    const arriving = this.#arriving!;
    for (const key of add) arriving.add(key);
    if (arriving.size > this.#maxKeys) {
      this.#arriving = undefined;
      return undefined;
    }
    if (more) return NO_CHANGES;
    const before = this.#keys;
    this.#keys = arriving;
    this.#arriving = undefined;
    this.#complete = true;
    return { admitted: [...arriving].filter((key) => !before.has(key)).map(hexDecode), removed: true };
  }

  #change(add: readonly string[], remove: readonly string[]): KeyChanges | undefined {
    let removed = false;
    for (const key of remove) removed = this.#keys.delete(key) || removed;
    const admitted = add.filter((key) => !this.#keys.has(key));
    if (this.#keys.size + admitted.length > this.#maxKeys) return undefined;
    for (const key of admitted) this.#keys.add(key);
    return { admitted: admitted.map(hexDecode), removed };
  }
}

function isKey(text: string): boolean {
  return HEX_KEY.test(text);
}
