/** The growth rate of memory, from samples that garbage collections make fluctuate. */

export interface MemorySample {
  /** Milliseconds since any start. */
  readonly at: number;
  readonly bytes: number;
}

const HOUR_MS = 3_600_000;
/** Windows of samples. The lowest sample of each counts: the rest after a collection. */
const WINDOWS = 20;

/**
 * Median of the slopes between the lowest samples of twenty equal windows (Theil and Sen), in bytes per hour: a few windows
 * without a collection do not move it.
 * @param samples In order of time; at least two windows' worth.
 */
export function growthPerHour(samples: readonly MemorySample[]): number {
  const size = Math.max(1, Math.ceil(samples.length / WINDOWS));
  const lowest: MemorySample[] = [];
  for (let from = 0; from < samples.length; from += size)
    lowest.push(samples.slice(from, from + size).reduce((low, next) => (next.bytes < low.bytes ? next : low)));
  const slopes: number[] = [];
  for (const [i, a] of lowest.entries())
    for (const b of lowest.slice(i + 1)) slopes.push(((b.bytes - a.bytes) / (b.at - a.at)) * HOUR_MS);
  if (slopes.length === 0) throw new RangeError("two samples at least make a slope");
  slopes.sort((a, b) => a - b);
  return slopes[Math.floor(slopes.length / 2)]!;
}
