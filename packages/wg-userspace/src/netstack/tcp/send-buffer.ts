import { copyInto } from "../../base/bytes.ts";
import type { ChunkPool } from "./chunk-pool.ts";

const FIRST_CHUNK_BYTES = 2048;

/**
 * Stream bytes from the first unacknowledged one on. A list of chunks, so that growing copies nothing and an idle
 * connection holds none. Addressed by position; the first byte of the stream has position 1 (the SYN is 0).
 */
export class SendBuffer {
  readonly #pool: ChunkPool;
  readonly #chunks: Uint8Array[] = [];
  /** Position of the first byte of each chunk. */
  readonly #starts: number[] = [];
  /** Chunks before this index were released; the arrays are compacted now and then. */
  #firstChunk = 0;
  #start = 1;
  #end = 1;
  #tailFree = 0;
  #hint = 0;

  constructor(pool: ChunkPool) {
    this.#pool = pool;
  }

  /** Position after the last byte written. */
  get end(): number {
    return this.#end;
  }
  get length(): number {
    return this.#end - this.#start;
  }
  /** Memory held. */
  get capacityBytes(): number {
    let total = 0;
    for (let i = this.#firstChunk; i < this.#chunks.length; i++) total += this.#chunks[i]!.length;
    return total;
  }

  /** Copies all of `bytes`. */
  write(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#tailFree === 0) this.#grow(bytes.length - from);
      const chunk = this.#chunks[this.#chunks.length - 1]!;
      const take = Math.min(this.#tailFree, bytes.length - from);
      const at = chunk.length - this.#tailFree;
      copyInto(bytes, from, take, chunk, at);
      this.#tailFree -= take;
      from += take;
      this.#end += take;
    }
  }

  /** Copies [position, position+length) to `out`; all of it must be held. */
  copyTo(out: Uint8Array, offset: number, position: number, length: number): void {
    let index = this.#chunkAt(position);
    let from = position;
    let at = offset;
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[index]!;
      const inChunk = from - this.#starts[index]!;
      const take = Math.min(left, chunk.length - inChunk);
      copyInto(chunk, inChunk, take, out, at);
      left -= take;
      at += take;
      from += take;
      if (left > 0) index++;
    }
    this.#hint = index;
  }

  /** Bytes before `position` were acknowledged. */
  release(position: number): void {
    if (position <= this.#start) return;
    this.#start = position;
    while (this.#firstChunk < this.#chunks.length) {
      const chunk = this.#chunks[this.#firstChunk]!;
      const end = this.#starts[this.#firstChunk]! + chunk.length;
      const isTail = this.#firstChunk === this.#chunks.length - 1;
      // The tail is released when everything was acknowledged: idle connections hold no chunk.
      if (end > position && !(isTail && position >= this.#end)) break;
      this.#pool.release(chunk);
      this.#chunks[this.#firstChunk] = EMPTY;
      this.#firstChunk++;
      if (isTail) this.#tailFree = 0;
    }
    if (this.#firstChunk === this.#chunks.length) {
      this.#chunks.length = this.#starts.length = this.#firstChunk = this.#hint = 0;
    } else if (this.#firstChunk >= 32 && this.#firstChunk * 2 > this.#chunks.length) {
      this.#chunks.splice(0, this.#firstChunk);
      this.#starts.splice(0, this.#firstChunk);
      this.#hint = Math.max(0, this.#hint - this.#firstChunk);
      this.#firstChunk = 0;
    }
  }

  clear(): void {
    this.release(this.#end);
  }

  #grow(wanted: number): void {
    // Small writes start with a small chunk; once data is held, more is expected.
    const chunk =
      this.#chunks.length > this.#firstChunk || wanted > FIRST_CHUNK_BYTES
        ? this.#pool.lease()
        : new Uint8Array(FIRST_CHUNK_BYTES);
    this.#chunks.push(chunk);
    this.#starts.push(this.#end);
    this.#tailFree = chunk.length;
  }

  #chunkAt(position: number): number {
    const hint = this.#hint;
    if (hint >= this.#firstChunk && hint < this.#chunks.length) {
      const start = this.#starts[hint]!;
      if (position >= start) {
        const end = start + this.#chunks[hint]!.length;
        if (position < end) return hint;
        if (hint + 1 < this.#chunks.length && position < end + this.#chunks[hint + 1]!.length) return hint + 1;
      }
    }
    let low = this.#firstChunk;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle]! <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

const EMPTY = new Uint8Array(0);
