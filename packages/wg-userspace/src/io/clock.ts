import { type Instant, instant } from "../base/instant.ts";

/** Monotonic time of this process. */
export function monotonicNow(): Instant {
  return instant(performance.now());
}

/** Wall-clock milliseconds since 1970 of a monotonic instant, by the present offset between the two clocks. */
export function unixMsAt(now: Instant): number {
  return Date.now() - (performance.now() - now);
}

/** A pause longer than this between two ticks of a timer that should tick every second is a sleep, not a busy machine. */
const SLEEP_THRESHOLD_MS = 5_000;

/**
 * Notices that the machine slept or the process was stopped. Linux stops the monotonic clock during suspend, so both
 * clocks are watched: a jump of either counts.
 */
export class WakeDetector {
  #monotonic = performance.now();
  #wall = Date.now();

  /** Call about once a second. Returns how long the process was away in ms, 0 when it was not. */
  tick(): number {
    const monotonic = performance.now();
    const wall = Date.now();
    const away = Math.max(monotonic - this.#monotonic, wall - this.#wall);
    this.#monotonic = monotonic;
    this.#wall = wall;
    return away > SLEEP_THRESHOLD_MS ? away : 0;
  }
}
