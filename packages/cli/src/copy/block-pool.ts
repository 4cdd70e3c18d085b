import { Slots } from "./slots.ts";

/** Large enough to make system calls and requests cheap; above this, malloc maps memory for each buffer. */
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

  /** Undefined when no block is free, or another file has waited longer. */
  tryTake(): Uint8Array | undefined {
    return this.#slots.tryTake() ? this.#block() : undefined;
  }

  /** Returns a block that neither the caller nor pending work touches again. */
  give(block: Uint8Array): void {
    this.#free.push(block);
    this.#slots.release();
  }

  #block(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(BLOCK_BYTES);
  }
}
