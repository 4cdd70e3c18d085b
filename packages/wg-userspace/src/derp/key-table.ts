import { bytesEqual } from "../base/bytes.ts";
import { KEY_BYTES } from "./frame.ts";

interface Slot<V> {
  readonly key: Uint8Array;
  readonly value: V;
  next: Slot<V> | undefined;
}

/**
 * Map from 32-byte keys, looked up in place inside a frame without building a string. Hashed with a random seed, since
 * other parties choose the keys.
 */
export class KeyTable<V> {
  readonly #seed: number;
  readonly #slots = new Map<number, Slot<V>>();
  #size = 0;

  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  get size(): number {
    return this.#size;
  }

  /** Looks up the key at `bytes[offset, offset + 32)`. */
  at(bytes: Uint8Array, offset: number): V | undefined {
    for (let slot = this.#slots.get(this.#hash(bytes, offset)); slot !== undefined; slot = slot.next) {
      let i = 0;
      while (i < KEY_BYTES && slot.key[i] === bytes[offset + i]) i++;
      if (i === KEY_BYTES) return slot.value;
    }
    return undefined;
  }

  get(key: Uint8Array): V | undefined {
    return this.at(key, 0);
  }

  /** The key is kept, not copied. It must not be in the table yet. */
  add(key: Uint8Array, value: V): void {
    const hash = this.#hash(key, 0);
    this.#slots.set(hash, { key, value, next: this.#slots.get(hash) });
    this.#size++;
  }

  delete(key: Uint8Array): void {
    const hash = this.#hash(key, 0);
    let before: Slot<V> | undefined;
    for (let slot = this.#slots.get(hash); slot !== undefined; before = slot, slot = slot.next) {
      if (!bytesEqual(slot.key, key)) continue;
      if (before !== undefined) before.next = slot.next;
      else if (slot.next !== undefined) this.#slots.set(hash, slot.next);
      else this.#slots.delete(hash);
      this.#size--;
      return;
    }
  }

  *values(): Generator<V> {
    for (let slot of this.#slots.values()) {
      yield slot.value;
      while (slot.next !== undefined) {
        slot = slot.next;
        yield slot.value;
      }
    }
  }

  /** Every bit of the key counts; 31-bit result, which V8 keeps out of the heap. */
  #hash(bytes: Uint8Array, offset: number): number {
    let hash = this.#seed;
    for (let at = offset; at < offset + KEY_BYTES; at += 4) {
      const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash ^ this.#seed, 0x85ebca6b);
    return (hash ^ (hash >>> 13)) & 0x3fffffff;
  }
}
