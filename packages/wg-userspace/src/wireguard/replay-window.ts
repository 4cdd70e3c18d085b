/** Rejects counters that were seen or are too old (RFC 6479): a ring of bit blocks, moved without shifting. */

const BLOCK_BITS = 64;
const BLOCKS = 128;
const WORDS_PER_BLOCK = BLOCK_BITS / 32;
const WORDS = BLOCKS * WORDS_PER_BLOCK;
/** Counters behind the newest that are still distinguished; one block is not used, which makes moving cheap. */
export const WINDOW_SIZE = (BLOCKS - 1) * BLOCK_BITS;

const TWO_32 = 2 ** 32;
/** REJECT_AFTER_MESSAGES = 2^64 - 2^13 - 1, as two halves. */
const LIMIT_HIGH = 0xffff_ffff;
const LIMIT_LOW = 0xffff_dfff;

/**
 * Counters are u64 in two u32 halves: a peer may use all of them, numbers hold only 53 bits. The ring has 2^13 bits, so
 * the low half alone says where a counter's bit is.
 */
export class ReplayWindow {
  readonly #words = new Uint32Array(WORDS);
  #newestLow = 0;
  #newestHigh = 0;

  /** True when the counter is new; it is then recorded. Call only for authenticated messages. */
  accept(low: number, high: number): boolean {
    if (high === LIMIT_HIGH && low >= LIMIT_LOW) return false;
    // Exact below 2^53; above, rounding never makes it smaller than the window's size, which is enough for the
    // comparisons here.
    const ahead = (high - this.#newestHigh) * TWO_32 + (low - this.#newestLow);
    if (ahead > 0) this.#advance(low, high);
    else if (-ahead > WINDOW_SIZE) return false;
    const word = (low >>> 5) & (WORDS - 1);
    const bit = 1 << (low & 31);
    const old = this.#words[word]!;
    if ((old & bit) !== 0) return false;
    this.#words[word] = old | bit;
    return true;
  }

  #advance(low: number, high: number): void {
    const newestBlock = this.#newestLow >>> 6;
    const blocks = Math.min((high - this.#newestHigh) * (TWO_32 / BLOCK_BITS) + ((low >>> 6) - newestBlock), BLOCKS);
    for (let i = 1; i <= blocks; i++) {
      const first = ((newestBlock + i) & (BLOCKS - 1)) * WORDS_PER_BLOCK;
      this.#words[first] = 0;
      this.#words[first + 1] = 0;
    }
    this.#newestLow = low;
    this.#newestHigh = high;
  }
}
