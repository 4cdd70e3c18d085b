/**
 * Waiting under an AbortSignal. Every wait here ends with `signal.reason` as soon as the signal aborts, and removes its
 * listener from the signal however it ends: a signal may outlive thousands of waits. Uses neither Node nor the DOM beyond
 * AbortSignal and setTimeout, so that shells on both share it.
 */

/** Called once when the wait is over. `aborted`: the signal ended it, so the work behind it has to be stopped as well. */
export type WaitEnd = (aborted: boolean) => void;

/**
 * A promise around work that reports by callback. `start` begins the work and may return a function that cleans up after
 * it; that function runs once, before the promise settles, however the wait ends. Without a signal only the work ends it.
 *
 * ```ts
 * await abortable<number>(signal, (resolve) => {
 *   const echo = ping(resolve);
 *   return (aborted) => {
 *     if (aborted) echo.cancel();
 *   };
 * });
 * ```
 *
 * `start` is not called when the signal has aborted already.
 */
export function abortable<T>(
  signal: AbortSignal | undefined,
  start: (resolve: (value: T) => void, reject: (error: unknown) => void) => WaitEnd | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    let over = false;
    let byAbort = false;
    let end: WaitEnd | undefined;
    const finish = (settle: () => void): void => {
      if (over) return;
      over = true;
      signal?.removeEventListener("abort", onAborted);
      try {
        end?.(byAbort);
        settle();
      } catch (error) {
        reject(error);
      }
    };
    const onAborted = (): void => {
      byAbort = !over;
      finish(() => reject(signal?.reason));
    };
    signal?.addEventListener("abort", onAborted);
    try {
      end = start(
        (value) => finish(() => resolve(value)),
        (error) => finish(() => reject(error)),
      );
    } catch (error) {
      finish(() => reject(error));
    }
    if (over) end?.(byAbort);
  });
}

/**
 * Settles as `work` does, or rejects with `signal.reason` when that comes first. The work itself continues, but its outcome is
 * then ignored, even a rejection.
 */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  work.catch(() => undefined); // the wait may end before the work does, or never begin
  return abortable(signal, (resolve, reject) => {
    work.then(resolve, reject);
  });
}

/** Resolves after `ms`. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return abortable(signal, (resolve) => {
    const timer = setTimeout(resolve, ms);
    return () => clearTimeout(timer);
  });
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => onAbort(signal, resolve));
}

/**
 * Calls `listener` once when the signal aborts, at once if it has already.
 * @returns a function that removes the listener; call it when the listener is no longer needed.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  const called = (): void => listener();
  signal.addEventListener("abort", called, { once: true });
  return () => signal.removeEventListener("abort", called);
}

/** A signal that aborts with `signal`, if there is one, or with a TimeoutError after `ms`. */
export function deadline(ms: number, signal?: AbortSignal): AbortSignal {
  const late = AbortSignal.timeout(ms);
  return signal === undefined ? late : AbortSignal.any([signal, late]);
}

/** Node's code for a stream that was closed before its end. */
const CLOSED_EARLY = "ERR_STREAM_PREMATURE_CLOSE";

/** The part of Node's EventEmitter that {@link once} uses. */
export interface EventSource {
  once(event: string, listener: (...values: unknown[]) => void): unknown;
  off(event: string, listener: (...values: unknown[]) => void): unknown;
}

/**
 * Resolves when `source` emits `event`. Call it before the operation that causes the event, which may emit it at once. Rejects
 * with an "error" that is emitted before the event, and with an Error when the source emits "close" first. The caller keeps the
 * source, and has to handle errors that it emits after this wait.
 */
export function once(source: EventSource, event: string, signal?: AbortSignal): Promise<void> {
  return abortable(signal, (resolve, reject) => {
    const happened = (): void => resolve();
    const failed = (error: unknown): void => reject(error);
    const closed = (): void => reject(Object.assign(new Error(`closed before "${event}"`), { code: CLOSED_EARLY }));
    source.once(event, happened);
    if (event !== "error") source.once("error", failed);
    if (event !== "close") source.once("close", closed);
    return () => {
      source.off(event, happened);
      source.off("error", failed);
      source.off("close", closed);
    };
  });
}
