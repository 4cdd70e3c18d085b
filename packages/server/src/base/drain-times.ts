/** Connections end over this long at most, so that their clients do not return all at once. */
const LONGEST_END_MS = 10_000;
/** What a stop without a drain, or the rest of one, may take: answers under way, the last writes. */
const REST_MS = 10_000;

/** The course of a stop, in ms. */
export interface DrainTimes {
  /** New connections are still served, while balancers notice that this server is not ready any more. */
  readonly serveMs: number;
  /** Then what is connected ends, over this time. */
  readonly endMs: number;
  /** When the process ends at the latest, counted from the beginning; undefined: there is no limit. */
  readonly exitMs: number | undefined;
}

/**
 * @param drainMs The setting.
 * @param hasSibling Whether there is another server for clients to go to.
 * @param hasRemoteDatabase Whether the stop needs answers of a database server, which may never come.
 */
export function drainTimes(drainMs: number, hasSibling: boolean, hasRemoteDatabase: boolean): DrainTimes {
  if (!hasSibling || drainMs === 0) return { serveMs: 0, endMs: 0, exitMs: hasRemoteDatabase ? REST_MS : undefined };
  const endMs = Math.min(LONGEST_END_MS, 2 * drainMs);
  return { serveMs: drainMs, endMs, exitMs: drainMs + endMs + REST_MS };
}
