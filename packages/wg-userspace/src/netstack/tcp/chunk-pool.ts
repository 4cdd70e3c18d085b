export const FULL_CHUNK_BYTES = 65536;

/**
 * Unused full-size chunks of stream buffers, kept for the next connection; shared by both directions of all connections
 * of a stack. Without it every 64 KiB of a fast stream cost a zeroed allocation, and the collector ran for them alone.
 */
export class ChunkPool {
  readonly #free: Uint8Array[] = [];
  readonly #limit: number;
  /** Returned bytes of each lent chunk. Weak: a reader may keep its chunks. */
  readonly #lent = new WeakMap<ArrayBufferLike, number>();

  /** @param limit Chunks kept at most; more are left to the collector. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A chunk of exactly FULL_CHUNK_BYTES; its content is whatever was there. */
  lease(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(FULL_CHUNK_BYTES);
  }

  release(chunk: Uint8Array): void {
    if (chunk.length === FULL_CHUNK_BYTES && this.#free.length < this.#limit) this.#free.push(chunk);
  }

  /**
   * Releases the memory. Called when a stream pauses or closes, which may be the one that needed it; other streams then
   * allocate a few chunks.
   */
  clear(): void {
    this.#free.length = 0;
  }

  /** Marks a leased chunk whose pieces go to a reader, who may or may not return them. */
  lend(chunk: Uint8Array): void {
    this.#lent.set(chunk.buffer, 0);
  }

  /**
   * A piece of a lent chunk, or any other array, is no longer read. Pieces must be returned in the order in which they
   * were handed out: a chunk of which one is kept, or returned twice, is merely not reused.
   */
  giveBack(piece: Uint8Array): void {
    const { buffer } = piece;
    const returned = this.#lent.get(buffer);
    if (returned === undefined || piece.byteOffset !== returned) return;
    const now = returned + piece.length;
    if (now < FULL_CHUNK_BYTES) {
      this.#lent.set(buffer, now);
      return;
    }
    this.#lent.delete(buffer);
    this.release(new Uint8Array(buffer));
  }
}
