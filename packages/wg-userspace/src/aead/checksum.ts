/** Length from which a view of 32-bit words pays off. */
const WORDS_FROM_BYTES = 128;
/** Number of 16-bit halves whose sum fits into 31 bits. */
const WORDS_PER_ROUND = 32_767;
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * Sum of big-endian 16-bit words (RFC 1071) of `length` bytes at `offset`, plus `initial`, folded to 16 bits and not
 * complemented. An odd last byte counts as the high half of a word.
 */
export function checksum(bytes: Uint8Array, offset: number, length: number, initial: number): number {
  if (length < WORDS_FROM_BYTES) return fold(initial + sumBytes(bytes, offset, offset + length));
  // The bytes up to the first aligned word, the words, and the rest: a multiple of 4 from the first word on.
  const head = -(bytes.byteOffset + offset) & 3;
  const words = (length - head) >>> 2;
  const first = offset + head;
  const rest = first + 4 * words;
  let middle = fold(sumWords(new Uint32Array(bytes.buffer, bytes.byteOffset + first, words)));
  let tail = fold(sumBytes(bytes, rest, offset + length));
  // RFC 1071 §2 (B): a sum over swapped words is the swapped sum. After an odd head all words are swapped.
  if (LITTLE_ENDIAN) middle = swap(middle);
  if (head & 1) [middle, tail] = [swap(middle), swap(tail)];
  return fold(initial + sumBytes(bytes, offset, first) + middle + tail);
}

function sumBytes(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  let at = from;
  for (; at + 1 < to; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  return at < to ? sum + (bytes[at]! << 8) : sum;
}

/** The two 16-bit halves of every word, in this machine's byte order. */
function sumWords(words: Uint32Array): number {
  let sum = 0;
  for (let from = 0; from < words.length; from += WORDS_PER_ROUND) {
    const to = Math.min(from + WORDS_PER_ROUND, words.length);
    let low = 0;
    let high = 0;
    for (let i = from; i < to; i++) {
      const word = words[i]!;
      low = (low + (word & 0xffff)) | 0;
      high = (high + (word >>> 16)) | 0;
    }
    sum += low + high;
  }
  return sum;
}

function swap(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >>> 8);
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x1_0000) + Math.floor(folded / 0x1_0000);
  return folded;
}
