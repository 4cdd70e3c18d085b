/**
 * Whether an episode of retransmissions was needless, by Eifel detection (RFC 3522) and by DSACK (RFC 2883): the window
 * from before it is restored then.
 */
export class SpuriousRecovery {
  #possible = false;
  /** When the episode's first retransmission was sent; -1 before. */
  #retransmitAt = -1;
  /** Retransmissions that no DSACK has shown to be needless; -1 when one was needed. */
  #needed = -1;

  /** Segments are deemed lost. */
  begin(): void {
    this.#possible = true;
    this.#retransmitAt = -1;
    this.#needed = 0;
  }
  /** The window from before the episode applies no longer. */
  forbid(): void {
    this.#possible = false;
    this.#needed = -1;
  }

  /**
   * @param conclusive Its answer can only be to the original or to this, the first retransmission: true at the left edge only.
   * @param inEpisode Not a probe of an idle tail.
   */
  onRetransmit(now: number, conclusive: boolean, inEpisode: boolean): void {
    if (this.#possible && this.#retransmitAt < 0) {
      this.#retransmitAt = now;
      this.#possible = conclusive;
    }
    if (inEpisode && this.#needed >= 0) this.#needed++;
  }

  /** @returns whether everything retransmitted had arrived before: the whole episode was needless. */
  onDsack(): boolean {
    return this.#needed > 0 && --this.#needed === 0;
  }

  /**
   * New data was acknowledged in an episode. An episode needs no end: begin() starts the next one.
   * @param echoedAt When the timestamp that the segment echoes was made; -1 without.
   * @param nothingLost Everything deemed lost has arrived in the meantime.
   * @returns whether the answer is to a transmission older than our retransmission, or came without any.
   */
  onAck(echoedAt: number, nothingLost: boolean): boolean {
    if (!this.#possible) return false;
    if (this.#retransmitAt < 0) return nothingLost;
    this.#possible = false;
    return echoedAt >= 0 && echoedAt < Math.floor(this.#retransmitAt);
  }
}
