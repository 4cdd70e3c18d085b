import type { Wildcard } from "../base/wildcard.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import { healthOf } from "./health-state.ts";

/**
 * Whether browsers may be sent to it: it registered to serve more than its relay, and is well.
 * @param own What the deployment itself has: hosts that are its own are no proxy's.
 */
export function servesApps(row: WorkspaceProxyRow, own: { wildcard: Wildcard | undefined; accessUrl: URL }): boolean {
  if (row.url === "" || row.derp_only === 1 || row.deleted_at !== null || healthOf(row).status !== "ok") return false;
  return row.wildcard_hostname !== own.wildcard?.pattern && new URL(row.url).host !== own.accessUrl.host;
}
