/** How many bytes may wait in the send buffer: the limit follows the congestion window. */
export class SendLimit {
  bytes: number;
  /** A write was cut short: its writer waits for room. */
  isAwaited = false;
  readonly #maxBytes: number;

  constructor(initialBytes: number, maxBytes: number) {
    this.#maxBytes = Math.max(maxBytes, 1);
    this.bytes = Math.min(initialBytes, this.#maxBytes);
  }

  /** Twice the window: one in flight, one waiting, so that the writer's pauses do not show. */
  grow(cwnd: number): void {
    if (this.bytes >= this.#maxBytes) return;
    const wanted = Math.floor(2 * cwnd);
    if (wanted > this.bytes) this.bytes = Math.min(wanted, this.#maxBytes);
  }
}
