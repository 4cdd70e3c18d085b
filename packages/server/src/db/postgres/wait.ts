/** Resolves after a random part of `maxMs`, so that many waiters do not resume at once; rejects with the signal's reason. */
export function pause(maxMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, Math.random() * maxMs);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
