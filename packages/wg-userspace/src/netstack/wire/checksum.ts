import type { ChecksumFunction } from "../../base/ports.ts";

/** RFC 1071 sum in plain JavaScript: the reference for the fast versions, and the one used where there is none. */
export const scalarChecksum: ChecksumFunction = (bytes, offset, length, initial) => {
  let sum = foldChecksum(initial);
  const end = offset + length;
  let at = offset;
  // 2^16 words of 16 bits fit into 32 bits; packets are shorter, so one fold at the end is enough.
  for (; at + 1 < end; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  if (at < end) sum += bytes[at]! << 8;
  return foldChecksum(sum);
};

/** Adds the carries back in until 16 bits are left. */
export function foldChecksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000);
  return folded;
}
