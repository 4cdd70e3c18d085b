import { Slots } from "./slots.ts";

/** Large enough to make system calls and requests cheap; malloc turns to mmap for each buffer above this. */
export const BLOCK_BYTES = 128 * 1024;
const MAX_BLOCKS = 64;

/** The memory of all files that are copied at the same time: 8 MiB, reused. */
export class BlockPool {
  readonly #slots = new Slots(() => MAX_BLOCKS);
  readonly #free: Uint8Array[] = [];

  async take(): Promise<Uint8Array> {
    await this.#slots.take();
    return this.#block();
  }

  /** Undefined: none is free, or another file has waited for longer. */
  tryTake(): Uint8Array | undefined {
    return this.#slots.tryTake() ? this.#block() : undefined;
  }

  /** The caller does not touch the block again, and nothing under way does. */
  give(block: Uint8Array): void {
    this.#free.push(block);
    this.#slots.release();
  }

  #block(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(BLOCK_BYTES);
  }
}
