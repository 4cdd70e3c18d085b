/** Looks at the deployment while something is awaited, which a failure that will pass does not end. */
import { sleep } from "wg-userspace/async/abort";

/** As long as the restart of a server takes at most. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 1_000;

/** Repeats a look that fails for a reason which may pass, for half a minute. Rejects with its last error or the signal's reason. */
export async function steadily<T>(look: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (signal.aborted || !mayPass(error) || performance.now() >= until) throw error;
    }
    await sleep(PAUSE_MS, signal);
  }
}

/** EngineErrors and ClientErrors say so. */
function mayPass(error: unknown): boolean {
  return error instanceof Error && "retryable" in error && error.retryable === true;
}
