import { copyInto } from "../../base/bytes.ts";
import { type ChunkPool, FULL_CHUNK_BYTES } from "./chunk-pool.ts";

/** Out-of-order pieces one connection keeps track of. More are dropped: the peer sends them again. */
export const MAX_PIECES = 4096;
const MIN_CHUNK_BYTES = 2048;
/** A chunk filled faster than this is followed by one of twice the size, slower by one of half. */
const FAST_FILL_MS = 100;

/**
 * The receive side of a stream. Payload is copied once, to its final place, in chunks that are passed to the reader;
 * [readPosition, next) is readable, beyond `next` lie the out-of-order pieces. The first byte of the stream is position
 * 1.
 */
export class Reassembly {
  readonly #pool: ChunkPool;
  #chunks: Uint8Array[] = [];
  #starts: number[] = [];
  #chunkBytes = MIN_CHUNK_BYTES;
  #chunkMadeAt = 0;
  /** Sorted [start, end) pairs beyond `next` that neither overlap nor touch. */
  readonly #pieces: number[] = [];
  /** A position inside each of the pieces that changed last, newest first. */
  readonly #recent: number[] = [];
  /** First byte not yet received in order. */
  next = 1;
  readPosition = 1;
  /** The part of the last insert that had been received before; start = end if none. */
  duplicateStart = 0;
  duplicateEnd = 0;

  constructor(pool: ChunkPool) {
    this.#pool = pool;
  }

  get readableLength(): number {
    return this.next - this.readPosition;
  }
  get pieceCount(): number {
    return this.#pieces.length / 2;
  }
  /** Memory held. */
  get capacityBytes(): number {
    let total = 0;
    for (const chunk of this.#chunks) total += chunk.length;
    return total;
  }

  /**
   * Adds payload at a position that is not before `next`; the caller has trimmed it to the window.
   * @returns whether it was kept.
   */
  insert(source: Uint8Array, offset: number, length: number, position: number, nowMs: number): boolean {
    this.duplicateStart = this.duplicateEnd = 0;
    const end = position + length;
    if (position === this.next) {
      this.#copy(source, offset, length, position, nowMs);
      this.next = end;
      if (this.#pieces.length > 0) this.#absorb();
      return true;
    }
    if (!this.#addPiece(position, end)) return false;
    this.#copy(source, offset, length, position, nowMs);
    return true;
  }

  /**
   * The next readable bytes, at most one chunk's worth; owned by the caller, who may return them with {@link
   * ChunkPool.giveBack}. Undefined when there are none.
   */
  read(): Uint8Array | undefined {
    if (this.readPosition >= this.next) return undefined;
    const chunk = this.#chunks[0]!;
    const start = this.#starts[0]!;
    const from = this.readPosition - start;
    const to = Math.min(this.next - start, chunk.length);
    this.readPosition = start + to;
    // The rest of the chunk, which the caller does not see, stays in use for later bytes.
    if (to === chunk.length) {
      this.#chunks.shift();
      this.#starts.shift();
    }
    return chunk.subarray(from, to);
  }

  /** Releases the chunk kept for later bytes. */
  trim(): void {
    if (this.readPosition < this.next || this.#pieces.length > 0) return;
    this.#chunks.length = this.#starts.length = 0;
    this.#chunkBytes = MIN_CHUNK_BYTES;
  }

  clear(): void {
    this.#chunks.length = this.#starts.length = 0;
    this.#pieces.length = this.#recent.length = 0;
  }

  /** Whether a piece contains the position; for duplicates reported within out-of-order data. */
  hasPieceAt(position: number): boolean {
    const at = this.#firstEndingAfter(position);
    return at < this.#pieces.length && this.#pieces[at]! <= position;
  }

  /**
   * SACK blocks, most recently changed first (RFC 2018 §4).
   * @returns how many [start, end) pairs were written to `out`.
   */
  sackBlocks(out: Float64Array, limit: number): number {
    let count = 0;
    const recent = this.#recent;
    for (let i = 0; i < recent.length && count < limit; i++) {
      const at = this.#firstEndingAfter(recent[i]!);
      if (at >= this.#pieces.length || this.#pieces[at]! > recent[i]!) {
        recent.splice(i--, 1); // received in order meanwhile
        continue;
      }
      const start = this.#pieces[at]!;
      let known = false;
      for (let j = 0; j < count; j++) if (out[2 * j] === start) known = true;
      if (known) {
        recent.splice(i--, 1);
        continue;
      }
      out[2 * count] = start;
      out[2 * count + 1] = this.#pieces[at + 1]!;
      count++;
    }
    return count;
  }

  #addPiece(start: number, end: number): boolean {
    const pieces = this.#pieces;
    // The pieces that the new one overlaps or touches: [from, to) in pair indices.
    let from = this.#firstEndingAfter(start - 1);
    let to = from;
    let newStart = start;
    let newEnd = end;
    while (to < pieces.length && pieces[to]! <= end) {
      const overlapStart = Math.max(pieces[to]!, start);
      const overlapEnd = Math.min(pieces[to + 1]!, end);
      if (overlapStart < overlapEnd && this.duplicateEnd === 0) {
        this.duplicateStart = overlapStart;
        this.duplicateEnd = overlapEnd;
      }
      newStart = Math.min(newStart, pieces[to]!);
      newEnd = Math.max(newEnd, pieces[to + 1]!);
      to += 2;
    }
    if (from === to) {
      if (pieces.length >= 2 * MAX_PIECES) return false;
      if (from === pieces.length) pieces.push(newStart, newEnd);
      else pieces.splice(from, 0, newStart, newEnd);
    } else {
      pieces[from] = newStart;
      pieces[from + 1] = newEnd;
      from += 2;
      if (to > from) pieces.splice(from, to - from);
    }
    const recent = this.#recent;
    if (recent.length > 0 && recent[0]! >= newStart && recent[0]! < newEnd) recent[0] = start;
    else {
      recent.unshift(start);
      if (recent.length > 8) recent.pop();
    }
    return true;
  }

  /** Moves `next` over pieces it has reached. */
  #absorb(): void {
    const pieces = this.#pieces;
    let done = 0;
    while (done < pieces.length && pieces[done]! <= this.next) {
      if (pieces[done]! < this.next && this.duplicateEnd === 0) {
        this.duplicateStart = pieces[done]!;
        this.duplicateEnd = Math.min(pieces[done + 1]!, this.next);
      }
      this.next = Math.max(this.next, pieces[done + 1]!);
      done += 2;
    }
    if (done > 0) pieces.splice(0, done);
    if (pieces.length === 0) this.#recent.length = 0;
  }

  /** Array index of the first piece whose end lies after `position`. */
  #firstEndingAfter(position: number): number {
    let low = 0;
    let high = this.#pieces.length / 2;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#pieces[2 * middle + 1]! <= position) low = middle + 1;
      else high = middle;
    }
    return 2 * low;
  }

  #copy(source: Uint8Array, offset: number, length: number, position: number, nowMs: number): void {
    const end = position + length;
    let count = this.#chunks.length;
    if (count === 0 || this.#starts[count - 1]! + this.#chunks[count - 1]!.length < end) {
      this.#extend(end, nowMs);
      count = this.#chunks.length;
    }
    let index = count - 1;
    while (this.#starts[index]! > position) index--;
    let from = offset;
    let at = position;
    while (at < end) {
      const chunk = this.#chunks[index]!;
      const inChunk = at - this.#starts[index]!;
      const take = Math.min(end - at, chunk.length - inChunk);
      copyInto(source, from, take, chunk, inChunk);
      at += take;
      from += take;
      index++;
    }
  }

  /** Adds chunks until they cover everything before `end`. */
  #extend(end: number, nowMs: number): void {
    let covered = this.readPosition;
    const count = this.#chunks.length;
    if (count > 0) covered = this.#starts[count - 1]! + this.#chunks[count - 1]!.length;
    while (covered < end) {
      const fast = nowMs - this.#chunkMadeAt < FAST_FILL_MS;
      this.#chunkBytes = fast
        ? Math.min(this.#chunkBytes * 2, FULL_CHUNK_BYTES)
        : Math.max(this.#chunkBytes / 2, MIN_CHUNK_BYTES);
      this.#chunkMadeAt = nowMs;
      this.#chunks.push(this.#newChunk());
      this.#starts.push(covered);
      covered += this.#chunkBytes;
    }
  }

  #newChunk(): Uint8Array {
    if (this.#chunkBytes < FULL_CHUNK_BYTES) return new Uint8Array(this.#chunkBytes);
    const chunk = this.#pool.lease();
    this.#pool.lend(chunk);
    return chunk;
  }
}
