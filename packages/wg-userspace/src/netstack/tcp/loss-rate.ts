/**
 * A rate over fewer segments is unreliable: at a loss of 1 %, every twentieth run of 256 loses 2 %. A longer run would
 * make a flow bolder on queues too short to be seen.
 */
const MIN_WINDOW_SEGMENTS = 512;

/**
 * The share of recently sent bytes that was lost. That is about one congestion window: over less, the noise of a long
 * path would look like congestion several times per round trip. It is also only the time since the last reaction to
 * losses: otherwise one overshoot would justify one reduction after another.
 */
export class LossRate {
  #delivered = 0;
  #lost = 0;

  onDelivered(bytes: number, cwnd: number, mss: number): void {
    this.#delivered += bytes;
    if (this.#delivered <= 2 * windowBytes(cwnd, mss)) return;
    this.#delivered /= 2;
    this.#lost /= 2;
  }

  onLost(bytes: number): void {
    this.#lost += bytes;
  }

  /** A DSACK (RFC 2883) shows that a retransmitted segment had arrived: it was late, not lost. */
  onNeedless(bytes: number): void {
    this.#lost = Math.max(0, this.#lost - bytes);
  }

  /** 0 … 1. Over at least a full window: one lost segment of the first thirty is not a rate. */
  value(cwnd: number, mss: number): number {
    return this.#lost / Math.max(this.#delivered + this.#lost, windowBytes(cwnd, mss));
  }

  /** Earlier losses were reacted to, or belong to another path. */
  clear(): void {
    this.#delivered = this.#lost = 0;
  }
}

function windowBytes(cwnd: number, mss: number): number {
  return Math.max(cwnd, MIN_WINDOW_SEGMENTS * mss);
}
