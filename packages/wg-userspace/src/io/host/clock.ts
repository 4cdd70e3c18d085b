import { type Instant, instant } from "../../base/instant.ts";

/** Monotonic time of this process. */
export function monotonicNow(): Instant {
  return instant(performance.now());
}

/** Wall-clock milliseconds since 1970 of a monotonic instant, by the present offset between the two clocks. */
export function unixMsAt(now: Instant): number {
  return Date.now() - (performance.now() - now);
}

/** A tick that comes this much too late was not held up by a busy machine, but by a sleep. */
const SLEEP_THRESHOLD_MS = 4_000;

/**
 * Notices that the machine slept or the process was stopped. Linux stops the monotonic clock during suspend, so both
 * clocks are watched: a jump of either counts, and so does one that leaves the other behind.
 */
export class WakeDetector {
  #monotonic = performance.now();
  #wall = Date.now();

  /**
   * @param expectedMs Longest time since the last tick or the start: a tick may come early.
   * @returns how long the process was away in ms, or 0.
   */
  tick(expectedMs: number): number {
    const monotonic = performance.now();
    const wall = Date.now();
    const monotonicMs = monotonic - this.#monotonic;
    const wallMs = wall - this.#wall;
    this.#monotonic = monotonic;
    this.#wall = wall;
    const awayMs = Math.max(monotonicMs, wallMs);
    const isLate = awayMs > expectedMs + SLEEP_THRESHOLD_MS;
    return isLate || wallMs - monotonicMs > SLEEP_THRESHOLD_MS ? awayMs : 0;
  }
}
