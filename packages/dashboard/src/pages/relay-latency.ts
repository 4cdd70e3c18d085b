/** Measures the round trip from this browser to a relay. */

const ROUNDS = 4;
const ROUND_TIMEOUT_MS = 4_000;

/** The shortest of several requests over an open connection, in ms; undefined when none is answered. */
export async function relayLatency(urls: readonly string[], life: AbortSignal): Promise<number | undefined> {
  const best = await Promise.all(urls.map((url) => shortest(url, life)));
  const known = best.filter((ms) => ms !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

async function shortest(url: string, life: AbortSignal): Promise<number | undefined> {
  let best: number | undefined;
  // The first request opens the connection and does not count.
  for (let round = 0; round < ROUNDS && !life.aborted; round++) {
    const begin = performance.now();
    try {
      const signal = AbortSignal.any([life, AbortSignal.timeout(ROUND_TIMEOUT_MS)]);
      await fetch(url, { mode: "no-cors", cache: "no-store", credentials: "omit", signal });
    } catch {
      return best; // unreachable from here, which is a result too
    }
    const took = performance.now() - begin;
    if (round > 0 && (best === undefined || took < best)) best = took;
  }
  return best;
}
