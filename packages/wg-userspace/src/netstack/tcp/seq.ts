/**
 * Sequence numbers (RFC 9293 §3.4). On the wire they are 32 bits and wrap. Inside a connection every byte has a
 * *position* instead: its distance from the initial sequence number, a plain growing number (SYN is 0, the first data
 * byte 1), so that comparisons are plain. Only these two functions convert between the two.
 */

/** The wire number of a position. */
export function wireSeq(initial: number, position: number): number {
  // The remainder first: beyond 2^53 / 2^32 the sum would still be exact, but not its conversion to 32 bits.
  return (initial + (position % 0x100000000)) >>> 0;
}

/** The position of a wire number: of all that match, the nearest to `near`. May be negative. */
export function positionOf(initial: number, seq: number, near: number): number {
  return near + ((seq - wireSeq(initial, near)) | 0);
}

/** Whether a comes before b, both 32-bit numbers that wrap. */
export function before32(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}
