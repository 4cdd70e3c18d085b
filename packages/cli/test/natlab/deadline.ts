/** Waiting in natlab tests: every wait has a deadline, and the error names what was waited for. */
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 10;

/**
 * Polls until `condition` holds.
 *
 * @returns Milliseconds it took.
 * @throws What `condition` throws, or an error that `what` did not happen in time.
 */
export async function until(what: string, limitMs: number, condition: () => boolean): Promise<number> {
  const started = performance.now();
  while (!condition()) {
    if (performance.now() - started > limitMs) throw new Error(`${what}: not within ${limitMs} ms`);
    await sleep(POLL_MS);
  }
  return performance.now() - started;
}

/** The result of `promise`, if it arrives in time. */
export async function within<T>(what: string, limitMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
