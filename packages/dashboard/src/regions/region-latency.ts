/** Measures the round trip from this browser to a region. */

const ROUNDS = 3;
const ROUND_TIMEOUT_MS = 4_000;

/** The shortest of three requests in ms, by Resource Timing; undefined when one is not answered. */
export async function regionLatency(origin: string, life: AbortSignal): Promise<number | undefined> {
  let shortest: number | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    // Each request has its own address, by which its timing is found.
    const url = `${origin}/latency-check?at=${performance.now()}`;
    try {
      const signal = AbortSignal.any([life, AbortSignal.timeout(ROUND_TIMEOUT_MS)]);
      await (await fetch(url, { cache: "no-store", credentials: "omit", signal })).arrayBuffer();
    } catch {
      return undefined; // not reachable from here, which is a result too
    }
    const timing = performance.getEntriesByName(url, "resource").at(-1) as PerformanceResourceTiming | undefined;
    const took = timing === undefined ? undefined : roundTrip(timing);
    if (took !== undefined && (shortest === undefined || took < shortest)) shortest = took;
  }
  // The buffer of timings is short, and accepts no more when it is full.
  performance.clearResourceTimings();
  return shortest;
}

/** Excludes the time of connecting; undefined for a host that does not permit its timing to be read. */
function roundTrip({ requestStart, responseStart }: PerformanceResourceTiming): number | undefined {
  return requestStart > 0 && responseStart >= requestStart ? responseStart - requestStart : undefined;
}
