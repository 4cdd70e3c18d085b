import type { Instant } from "../../base/instant.ts";
import {
  type CongestionController,
  INITIAL_WINDOW_SEGMENTS,
  type LossContext,
  MAX_CWND_BYTES,
  windowAfterIdle,
} from "./congestion.ts";

/** Slow start and congestion avoidance of RFC 5681 with byte counting (RFC 3465). */
export class Reno implements CongestionController {
  readonly name = "reno";
  cwnd: number;
  ssthresh = Number.POSITIVE_INFINITY;
  #mss: number;
  #saved: [cwnd: number, ssthresh: number] | undefined;

  constructor(mss: number) {
    this.#mss = mss;
    this.cwnd = INITIAL_WINDOW_SEGMENTS * mss;
  }

  onAck(delivered: number): void {
    const step = this.cwnd < this.ssthresh ? delivered : (this.#mss * delivered) / this.cwnd;
    this.cwnd = Math.min(this.cwnd + step, MAX_CWND_BYTES);
  }
  onRoundStart(): void {}
  onLoss(_context: LossContext): boolean {
    this.#saved = [this.cwnd, this.ssthresh];
    this.ssthresh = Math.max(this.cwnd / 2, 2 * this.#mss);
    return true;
  }
  onRecovered(): void {
    this.cwnd = this.ssthresh;
  }
  onTimeout(_context: LossContext): void {
    this.#saved = [this.cwnd, this.ssthresh];
    this.ssthresh = Math.max(this.cwnd / 2, 2 * this.#mss);
    this.cwnd = this.#mss;
  }
  undo(): void {
    if (this.#saved === undefined) return;
    [this.cwnd, this.ssthresh] = [Math.max(this.#saved[0], this.cwnd), this.#saved[1]];
    this.#saved = undefined;
  }
  onIdle(idleMs: number, rtoMs: number): void {
    this.ssthresh = Math.max(this.ssthresh, (3 * this.cwnd) / 4);
    this.cwnd = windowAfterIdle(this.cwnd, this.#mss, idleMs, rtoMs);
  }
  reset(_now: Instant): void {
    this.cwnd = INITIAL_WINDOW_SEGMENTS * this.#mss;
    this.ssthresh = Number.POSITIVE_INFINITY;
    this.#saved = undefined;
  }
  setMss(mss: number): void {
    this.#mss = mss;
  }
}
