import { EngineError } from "wg-userspace/base/errors";

/**
 * Runs a call with a signal that aborts when no answer has come in time: a server may keep a connection alive and answer its pings,
 * but not its calls. Rejects with EngineError ERR_TIMEOUT, or with the reason of `signal`.
 * @param what Names the call in the error.
 */
export async function answeredWithin<Answer>(
  limitMs: number,
  what: string,
  call: (signal: AbortSignal) => Promise<Answer>,
  signal?: AbortSignal,
): Promise<Answer> {
  const late = new AbortController();
  const timer = setTimeout(() => {
    const message = `${what} was not answered within ${limitMs / 1000} s`;
    late.abort(new EngineError("ERR_TIMEOUT", message, { retryable: true }));
  }, limitMs);
  try {
    return await call(signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]));
  } finally {
    clearTimeout(timer);
  }
}
