/** Decides whether a search for a direct path has lasted long enough to be judged. Pure. */
import type { PeerPathReport } from "../node/path-report.ts";
import { FOUND } from "./facts.ts";

/**
 * This many unanswered probes in a row are a verdict: on a path that loses 30 % each way that happens once in three thousand
 * times. Three would happen one time in eight.
 */
const ENOUGH_PROBES = 12;

/**
 * Decided when an address answers, or when none does and each was probed often enough. An address that answered once and is
 * silent now decides nothing.
 */
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
