/**
 * Proportional rate reduction (RFC 6937 §3, with the safe-ACK rule of its successor): spreads the reduction of the window
 * over the round trip of a recovery.
 */
export class ProportionalReduction {
  /** Bytes that may be in flight now. */
  cwnd = 0;
  /** Bytes in flight when the recovery began, delivered since, and sent since. */
  #flight = 1;
  #delivered = 0;
  #sent = 0;

  /**
   * @param outstanding Bytes between the first unacknowledged and the next to send.
   * @param inFlight Of these, those not known to be delivered or lost.
   */
  begin(outstanding: number, inFlight: number, mss: number): void {
    this.#flight = Math.max(outstanding, mss);
    this.#delivered = this.#sent = 0;
    // Room for the first retransmission in case no acknowledgment follows: a timer may have started the recovery.
    this.cwnd = inFlight + mss;
  }

  onSent(bytes: number): void {
    this.#sent += bytes;
  }

  /**
   * How much may be sent for this acknowledgment.
   * @param progress It acknowledges new data and shows no further loss.
   */
  onAck(delivered: number, inFlight: number, ssthresh: number, mss: number, progress: boolean): void {
    this.#delivered += delivered;
    let allowed: number;
    if (inFlight > ssthresh) {
      allowed = Math.ceil((this.#delivered * ssthresh) / this.#flight) - this.#sent;
    } else {
      let limit = this.#delivered - this.#sent;
      if (progress) limit = Math.max(limit, delivered) + mss;
      allowed = Math.min(ssthresh - inFlight, limit);
    }
    // The first retransmission always goes out (RFC 6937 §3: "force a fast retransmit").
    if (this.#sent === 0) allowed = Math.max(allowed, mss);
    this.cwnd = inFlight + Math.max(allowed, 0);
  }
}
