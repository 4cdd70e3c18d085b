import type { RandomSource } from "../base/ports.ts";

/** Receiver indices in use: random u32, each naming one handshake or keypair of ours. */
export class IndexTable<T> {
  readonly #entries = new Map<number, T>();
  readonly #random: RandomSource;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Takes a free index for `entry`. */
  insert(entry: T): number {
    for (;;) {
      const index = this.#random.uint32();
      if (this.#entries.has(index | 0)) continue;
      this.#entries.set(index | 0, entry);
      return index;
    }
  }

  /**
   * Accepts the index as signed or unsigned 32 bits. The map's keys are signed, because V8 stores those as small
   * integers.
   */
  lookup(index: number): T | undefined {
    return this.#entries.get(index | 0);
  }

  remove(index: number): void {
    this.#entries.delete(index | 0);
  }
}
