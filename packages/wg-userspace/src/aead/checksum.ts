/**
 * Sum of big-endian 16-bit words (RFC 1071) of `length` bytes at `offset`, plus `initial`, folded to 16 bits and not
 * complemented. An odd last byte counts as the high half of a word.
 */
export function checksum(bytes: Uint8Array, offset: number, length: number, initial: number): number {
  let sum = initial;
  const end = offset + (length & ~1);
  for (let at = offset; at < end; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  if (length & 1) sum += bytes[end]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  return sum;
}
