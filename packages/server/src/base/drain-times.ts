/** Connections are ended over at most this time, so that their clients do not all return at once. */
const LONGEST_END_MS = 10_000;
/** Maximum time of a stop without a drain, or of what follows one: answers in progress and final writes. */
const REST_MS = 10_000;

/** The phases of a stop, in ms. */
export interface DrainTimes {
  /** New connections are still accepted for this long, while balancers notice that this server is no longer ready. */
  readonly serveMs: number;
  /** Then open connections are ended over this time. */
  readonly endMs: number;
  /** The process ends at the latest after this time, counted from the beginning; undefined means no limit. */
  readonly exitMs: number | undefined;
}

/**
 * @param drainMs The setting.
 * @param hasSibling Whether there is another server for clients to go to.
 * @param hasRemoteDatabase Whether the stop depends on answers of a database server, which may never come.
 */
export function drainTimes(drainMs: number, hasSibling: boolean, hasRemoteDatabase: boolean): DrainTimes {
  if (!hasSibling || drainMs === 0) return { serveMs: 0, endMs: 0, exitMs: hasRemoteDatabase ? REST_MS : undefined };
  const endMs = Math.min(LONGEST_END_MS, 2 * drainMs);
  return { serveMs: drainMs, endMs, exitMs: drainMs + endMs + REST_MS };
}
