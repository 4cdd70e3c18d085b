import type { SlotPool } from "../base/ports.ts";

/** Slots reserved from data: handshakes and keepalives must get through when data fills the ring. */
const RESERVED_FOR_CONTROL = 16;

/** Free list of equal slots in one memory, the last released first. */
export class SlotRing implements SlotPool {
  readonly stride: number;
  readonly capacity: number;
  readonly #base: number;
  readonly #free: Int32Array;
  readonly #leased: Uint8Array;
  #count: number;

  /** `capacity` slots of `stride` bytes from byte `base` on. */
  constructor(base: number, stride: number, capacity: number) {
    this.#base = base;
    this.stride = stride;
    this.capacity = capacity;
    this.#free = Int32Array.from({ length: capacity }, (_, i) => base + (capacity - 1 - i) * stride);
    this.#leased = new Uint8Array(capacity);
    this.#count = capacity;
  }

  get free(): number {
    return Math.max(0, this.#count - RESERVED_FOR_CONTROL);
  }

  lease(): number {
    return this.#count <= RESERVED_FOR_CONTROL ? -1 : this.#take();
  }

  leaseForControl(): number {
    return this.#count === 0 ? -1 : this.#take();
  }

  release(slot: number): void {
    // An offset of another pool or inside a slot is no index of a leased slot either.
    const index = (slot - this.#base) / this.stride;
    if (this.#leased[index] !== 1) throw new Error(`slot ${slot} is not leased`);
    this.#leased[index] = 0;
    this.#free[this.#count++] = slot;
  }

  #take(): number {
    const slot = this.#free[--this.#count]!;
    this.#leased[(slot - this.#base) / this.stride] = 1;
    return slot;
  }
}
