import { sleep } from "wg-userspace/async/abort";

/** Resolves after a random part of `maxMs`, so that many waiters do not resume at once; rejects with the signal's reason. */
export function pause(maxMs: number, signal?: AbortSignal): Promise<void> {
  return sleep(Math.random() * maxMs, signal);
}
