/** When a search for a direct path has gone on for long enough to be judged. Pure. */
import type { PeerPathReport } from "../node/path-report.ts";
import { FOUND } from "./facts.ts";

/**
 * So many probes in a row without an answer are a verdict: on a path that loses 30 % each way that happens once in three
 * thousand times. Three are not, one time in eight.
 */
const ENOUGH_PROBES = 12;

/** Something answers; or nothing does, and was asked often enough. What answered once and is silent now decides nothing. */
export function isDecided({
  path,
  directBlocked,
  candidates,
}: Pick<PeerPathReport, "path" | "directBlocked" | "candidates">): boolean {
  if (path?.kind === "direct" || directBlocked !== undefined) return true;
  if (candidates.some(({ state }) => FOUND.includes(state))) return true;
  if (candidates.some(({ pongsReceived }) => pongsReceived > 0)) return false;
  return candidates.length === 0 || candidates.some(({ pingsSent }) => pingsSent >= ENOUGH_PROBES);
}
