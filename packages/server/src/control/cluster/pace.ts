/**
 * How long changes are collected before they are written as one batch. A change that comes alone is written at once. While changes
 * keep coming, as when a site's connections return, the time grows: a batch costs this server two statements and every other
 * server two, however few rows it has.
 */

/** Changes that come this soon after a batch belong to the same flood. */
const LONE_MS = 20;
const FIRST_MS = 5;
/** Less than what delays a peer's first packet noticeably. */
const MAX_MS = 40;

export class Pace {
  #writtenAt = Number.NEGATIVE_INFINITY;
  #gatherMs = 0;

  /** How long to wait for further changes. Call once for each batch, when its first change is there. `nowMs` never goes back. */
  gather(nowMs: number): number {
    const isLone = nowMs - this.#writtenAt > LONE_MS;
    this.#gatherMs = isLone ? 0 : Math.min(MAX_MS, Math.max(FIRST_MS, 2 * this.#gatherMs));
    return this.#gatherMs;
  }

  /** A batch was written. */
  written(nowMs: number): void {
    this.#writtenAt = nowMs;
  }
}
