import { copyInto } from "../base/bytes.ts";
import { writeHeader } from "./frame.ts";

const FIRST_CAPACITY = 4096;
/** Larger buffers are left to the garbage collector instead of being reused. */
const MAX_RECYCLED_BYTES = 256 * 1024;

/**
 * Collects frames back to back so that one turn becomes one write. `take` passes the collected bytes on; a buffer that
 * the socket has finished with may be returned through `recycle`, otherwise a new one is allocated per flush.
 */
export class GatherBuffer {
  #bytes: Uint8Array = new Uint8Array(0);
  #length = 0;
  #spare: Uint8Array | undefined;
  #lastTaken = FIRST_CAPACITY;

  get length(): number {
    return this.#length;
  }

  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Appends header ‖ key ‖ [second key] ‖ packet. */
  appendPacket(
    type: number,
    key: Uint8Array,
    secondKey: Uint8Array | undefined,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): void {
    const keyBytes = key.length + (secondKey?.length ?? 0);
    this.#reserve(5 + keyBytes + length);
    let at = writeHeader(this.#bytes, this.#length, type, keyBytes + length);
    this.#bytes.set(key, at);
    at += key.length;
    if (secondKey !== undefined) {
      this.#bytes.set(secondKey, at);
      at += secondKey.length;
    }
    copyInto(bytes, offset, length, this.#bytes, at);
    this.#length = at + length;
  }

  /** Everything collected, owned by the caller; undefined when there is nothing. */
  take(): Uint8Array | undefined {
    if (this.#length === 0) return undefined;
    const taken = this.#bytes.subarray(0, this.#length);
    this.#lastTaken = this.#length;
    this.#bytes = new Uint8Array(0);
    this.#length = 0;
    return taken;
  }

  /** Returns a chunk from `take` that is no longer read. */
  recycle(chunk: Uint8Array): void {
    if (chunk.byteOffset !== 0 || chunk.buffer.byteLength > MAX_RECYCLED_BYTES) return;
    if (this.#spare === undefined || this.#spare.length < chunk.buffer.byteLength)
      this.#spare = new Uint8Array(chunk.buffer as ArrayBuffer);
  }

  clear(): void {
    this.#length = 0;
    this.#bytes = new Uint8Array(0);
    this.#spare = undefined;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    let grown: Uint8Array;
    if (this.#spare !== undefined && this.#spare.length >= needed) {
      grown = this.#spare;
      this.#spare = undefined;
    } else {
      const usual = this.#length === 0 ? Math.min(this.#lastTaken, MAX_RECYCLED_BYTES) : 2 * this.#bytes.length;
      grown = new Uint8Array(Math.max(needed, usual, FIRST_CAPACITY));
    }
    if (this.#length > 0) grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
