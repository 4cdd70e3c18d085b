import { type Instant, instant } from "./instant.ts";

/**
 * What TCP experienced towards one peer, over all connections: running sums, read when the peer's path is chosen. This
 * is the sender's view, so it describes the direction towards the peer and needs nothing from the peer.
 */
export class SegmentTally {
  /** Segments with data that were sent, retransmissions included. */
  sent = 0;
  /** Retransmissions among them, less those that the peer reported as duplicates. */
  resent = 0;
  /** Bytes acknowledged. */
  delivered = 0;
  /** When the congestion window last held data back: until then the path was the limit. */
  limitedAt: Instant = instant(Number.NEGATIVE_INFINITY);
}
