/** Which workspace proxies may serve apps and terminals. */
import { DomainError } from "../base/domain-error.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import { type OwnHosts, overlap, overlapsOwn } from "./address-overlap.ts";
import { healthOf } from "./health-state.ts";

/** Why the proxy may serve no apps and terminals, as the rest of a sentence; undefined if it may. */
export function appRefusal(row: WorkspaceProxyRow, own: OwnHosts): string | undefined {
  if (row.url === "") return "it has not registered";
  if (row.derp_only === 1) return "it only relays";
  if (row.is_confirmed === 0) return UNCONFIRMED;
  if (overlapsOwn(row, own)) return "its address is one of the deployment itself";
  return undefined;
}

/** What an owner has to know about a proxy that changed itself. */
export const UNCONFIRMED =
  'its address or what it serves changed without an owner; "coder wsproxy edit" with --access-url and --wildcard-access-url confirms it';

/** Throws DomainError "forbidden". */
export function requireServing(row: WorkspaceProxyRow, own: OwnHosts): void {
  const refusal = appRefusal(row, own);
  if (refusal === undefined) return;
  throw new DomainError("forbidden", "This workspace proxy may not serve apps and terminals.", { detail: refusal });
}

/**
 * The proxies to which browsers may be sent: they may serve apps and terminals, are healthy, and share no host with another
 * proxy. An earlier release allowed shared hosts; then it is unknown which of the two a browser reaches, even if only one is
 * healthy.
 */
export function appProxies(rows: readonly WorkspaceProxyRow[], own: OwnHosts): WorkspaceProxyRow[] {
  return rows.filter(
    (row) =>
      appRefusal(row, own) === undefined &&
      healthOf(row).status === "ok" &&
      !rows.some((other) => other.id !== row.id && overlap(row, other) !== undefined),
  );
}
