/** Blocks grow with the queue up to this: many one-byte appends must not cost one array each. */
const MAX_BLOCK_BYTES = 16 * 1024;
const MIN_BLOCK_BYTES = 256;

interface Block {
  readonly bytes: Uint8Array;
  start: number;
  end: number;
}

/** A first-in, first-out queue of bytes. Appending copies; the taker owns what it takes. The user bounds its length. */
export class ByteQueue {
  #blocks: Block[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** @param bytes Borrowed. */
  append(bytes: Uint8Array): void {
    let rest = bytes;
    const tail = this.#blocks.at(-1);
    if (tail !== undefined && tail.end < tail.bytes.length) {
      const head = rest.subarray(0, tail.bytes.length - tail.end);
      tail.bytes.set(head, tail.end);
      tail.end += head.length;
      rest = rest.subarray(head.length);
    }
    if (rest.length > 0) {
      const size = Math.max(rest.length, MIN_BLOCK_BYTES, Math.min(this.#length, MAX_BLOCK_BYTES));
      const block = { bytes: new Uint8Array(size), start: 0, end: rest.length };
      block.bytes.set(rest);
      this.#blocks.push(block);
    }
    this.#length += bytes.length;
  }

  /** Removes and returns up to `maxBytes` from the front, or undefined when there is nothing. */
  take(maxBytes: number): Uint8Array | undefined {
    const wanted = Math.min(maxBytes, this.#length);
    if (wanted <= 0) return undefined;
    const head = this.#blocks[0]!;
    if (head.end - head.start >= wanted) return this.#takeFromHead(wanted);
    const out = new Uint8Array(wanted);
    let at = 0;
    while (at < wanted) {
      const block = this.#blocks[0]!;
      const piece = this.#takeFromHead(Math.min(wanted - at, block.end - block.start));
      out.set(piece, at);
      at += piece.length;
    }
    return out;
  }

  clear(): void {
    this.#blocks = [];
    this.#length = 0;
  }

  #takeFromHead(length: number): Uint8Array {
    const head = this.#blocks[0]!;
    const piece = head.bytes.subarray(head.start, head.start + length);
    head.start += length;
    this.#length -= length;
    if (head.start === head.end) this.#blocks.shift();
    return piece;
  }
}
