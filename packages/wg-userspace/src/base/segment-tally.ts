import { type Instant, instant } from "./instant.ts";

/**
 * What TCP experienced towards one peer, over all connections: running sums, read by whoever chooses the peer's path. The
 * sender's view, so it tells about the direction towards the peer and needs nothing of it.
 */
export class SegmentTally {
  /** Segments with data that were sent, again or for the first time. */
  sent = 0;
  /** Of them those sent again, less those that the peer reported to have had already. */
  resent = 0;
  /** Bytes acknowledged. */
  delivered = 0;
  /** When the congestion window last held data back: until then the path was the limit. */
  limitedAt: Instant = instant(Number.NEGATIVE_INFINITY);
}
