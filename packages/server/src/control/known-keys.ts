/**
 * Node keys that may use the relay: those of connected peers, and for a while those of lost ones, whose tunnels outlive the
 * control connection. What peers that are gone leave behind is bounded for each holder.
 */
import { hexDecode, hexEncode } from "wg-userspace/base/bytes";

/** A key may go on using the relay this long after its control connection was lost. */
export const GRACE_MS = 15 * 60_000;
/** Keys of lost peers that one user or agent has at most; beyond it the oldest ends early. */
export const MAX_GRACE_KEYS_PER_HOLDER = 256;

interface Entry {
  users: number;
  graces: number;
  /** When the last grace ends. */
  until: number;
}

export class KnownKeys {
  readonly #onGone: (publicKey: Uint8Array) => void;
  readonly #keys = new Map<string, Entry>();
  /** By holder, oldest first: keys in their grace time and when it ends. */
  readonly #graces = new Map<string, Map<string, number>>();

  /** @param onGone Called with every key that may not be used any more. */
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

  /** In hex: all that may use the relay. */
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

  /** A peer of `holder` does not have it any more. */
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

  /** The grace of a key ends now. */
  forget(key: Uint8Array, holder: string): void {
    this.#endGrace(hexEncode(key), holder);
  }

  /** Ends all graces. */
  endGraces(): void {
    for (const [holder, graces] of this.#graces) for (const text of [...graces.keys()]) this.#endGrace(text, holder);
  }

  /** Ends the graces whose time is over. */
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
