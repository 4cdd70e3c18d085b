/**
 * Node keys that may use the relay: those of connected peers and, for a grace period, those of lost peers, whose tunnels outlive
 * the control connection. The number of keys that peers leave behind is limited for each holder.
 */
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";

/** A key may use the relay for this long after its control connection was lost. */
export const GRACE_MS = 15 * 60_000;
/** Maximum number of keys of lost peers for one user or agent. Beyond it, the grace period of the oldest ends early. */
export const MAX_GRACE_KEYS_PER_HOLDER = 256;

interface Entry {
  users: number;
  graces: number;
  /** When the last grace period ends. */
  until: number;
}

export class KnownKeys {
  readonly #onGone: (publicKey: Uint8Array) => void;
  readonly #keys = new Map<string, Entry>();
  /** By holder, oldest first: the keys in their grace period and when it ends. */
  readonly #graces = new Map<string, Map<string, number>>();

  /** @param onGone Called for every key that may no longer be used. */
  constructor(onGone: (publicKey: Uint8Array) => void) {
    this.#onGone = onGone;
  }

  get size(): number {
    return this.#keys.size;
  }

  knows(key: Uint8Array, nowMs: number): boolean {
    const entry = this.#keys.get(hexEncode(key));
    return entry !== undefined && (entry.users > 0 || entry.until > nowMs);
  }

  /** In hex: all keys that may use the relay. */
  list(nowMs: number): string[] {
    const known = [...this.#keys].filter(([, { users, until }]) => users > 0 || until > nowMs);
    return known.map(([key]) => key);
  }

  /** A connected peer has this key. */
  use(key: Uint8Array): void {
    const text = hexEncode(key);
    const entry = this.#keys.get(text);
    if (entry === undefined) this.#keys.set(text, { users: 1, graces: 0, until: 0 });
    else entry.users++;
  }

  /** A peer of `holder` no longer has the key. */
  release(key: Uint8Array, holder: string, nowMs: number): void {
    const text = hexEncode(key);
    const entry = this.#keys.get(text);
    if (entry === undefined) return;
    entry.users--;
    entry.until = nowMs + GRACE_MS;
    const graces = this.#graces.get(holder) ?? new Map<string, number>();
    this.#graces.set(holder, graces);
    if (!graces.delete(text)) entry.graces++;
    graces.set(text, entry.until);
    const [oldest] = graces.keys();
    if (graces.size > MAX_GRACE_KEYS_PER_HOLDER && oldest !== undefined) this.#endGrace(oldest, holder);
  }

  /** Ends the grace period of a key now. */
  forget(key: Uint8Array, holder: string): void {
    this.#endGrace(hexEncode(key), holder);
  }

  /** Ends all grace periods. */
  endGraces(): void {
    for (const [holder, graces] of this.#graces) for (const text of [...graces.keys()]) this.#endGrace(text, holder);
  }

  /** Ends the grace periods that have expired. */
  sweep(nowMs: number): void {
    for (const [holder, graces] of this.#graces)
      for (const [text, until] of graces) if (until <= nowMs) this.#endGrace(text, holder);
  }

  #endGrace(text: string, holder: string): void {
    const graces = this.#graces.get(holder);
    if (graces?.delete(text) !== true) return;
    if (graces.size === 0) this.#graces.delete(holder);
    const entry = this.#keys.get(text)!;
    entry.graces--;
    if (entry.graces > 0 || entry.users > 0) return;
    this.#keys.delete(text);
    this.#onGone(hexDecode(text));
  }
}
