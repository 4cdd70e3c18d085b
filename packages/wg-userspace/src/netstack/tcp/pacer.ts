/** Resolution of timers: a paced sender may run ahead by this much. */
const AHEAD_MS = 1;
/** Shorter round trips are left to the acknowledgments, which are finer than timers. */
const MIN_RTT_MS = 4;
const MAX_RTT_MS = 1000;
const SLOW_START_GAIN = 2;
const AVOIDANCE_GAIN = 1.25;

/**
 * Paces a window over its round trip instead of sending it in bursts that overflow short queues: at twice the rate that
 * the window allows in slow start, 1.25 times after.
 */
export class Pacer {
  /** When the next segment is due, ms. */
  dueAt = 0;

  mustWait(now: number): boolean {
    return this.dueAt > now + AHEAD_MS;
  }

  onSent(bytes: number, window: number, slowStart: boolean, srttMs: number | undefined, now: number): void {
    if (srttMs === undefined || srttMs < MIN_RTT_MS) return;
    const gain = slowStart ? SLOW_START_GAIN : AVOIDANCE_GAIN;
    this.dueAt = Math.max(this.dueAt, now) + (bytes * Math.min(srttMs, MAX_RTT_MS)) / (gain * window);
  }
}
