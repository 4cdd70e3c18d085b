/**
 * Pending questions about keys that a peer may be about to announce, since clients dial a relay and the coordinator at the same
 * time.
 */
import { hexEncode } from "wg-userspace/base/bytes";

const MAX_WAITING = 1_000;

export class KeyWaits {
  readonly #waiting = new Map<string, Set<(came: boolean) => void>>();
  #count = 0;

  /** Whether the key is announced within `ms`. False at once if too many questions are waiting. */
  wait(publicKey: Uint8Array, ms: number): Promise<boolean> {
    if (this.#count >= MAX_WAITING) return Promise.resolve(false);
    const name = hexEncode(publicKey);
    const waiting = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, waiting);
    this.#count++;
    return new Promise((resolve) => {
      const settle = (came: boolean): void => {
        clearTimeout(timer);
        this.#count--;
        waiting.delete(settle);
        if (waiting.size === 0) this.#waiting.delete(name);
        resolve(came);
      };
      const timer = setTimeout(() => settle(false), ms);
      waiting.add(settle);
    });
  }

  came(publicKey: Uint8Array): void {
    if (this.#count === 0) return;
    for (const settle of [...(this.#waiting.get(hexEncode(publicKey)) ?? [])]) settle(true);
  }

  close(): void {
    for (const waiting of [...this.#waiting.values()]) for (const settle of [...waiting]) settle(false);
  }
}
