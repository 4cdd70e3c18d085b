/** Detects addresses of two proxies that overlap, so that a browser could not distinguish their hosts. Pure. */
import { parseWildcard, type Wildcard } from "../base/wildcard.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";

export type ProxyAddress = Pick<WorkspaceProxyRow, "url" | "wildcard_hostname">;

/** The deployment's own hosts. */
export interface OwnHosts {
  readonly accessUrl: URL;
  readonly wildcard: Wildcard | undefined;
}

/** Which part of the address overlaps the other; undefined if none does. */
export function overlap(one: ProxyAddress, other: ProxyAddress): "access_url" | "wildcard_hostname" | undefined {
  if (one.url !== "" && other.url !== "" && new URL(one.url).host === new URL(other.url).host) return "access_url";
  const [ours, theirs] = [suffixOf(one.wildcard_hostname), suffixOf(other.wildcard_hostname)];
  if (ours === undefined || theirs === undefined) return undefined;
  return isWithin(ours, theirs) || isWithin(theirs, ours) ? "wildcard_hostname" : undefined;
}

export function overlapsOwn(address: ProxyAddress, { accessUrl, wildcard }: OwnHosts): boolean {
  return overlap(address, { url: accessUrl.origin, wildcard_hostname: wildcard?.pattern ?? "" }) !== undefined;
}

/** Without its port, because cookies ignore ports. */
function suffixOf(pattern: string): string | undefined {
  const wildcard = parseWildcard(pattern);
  return "error" in wildcard ? undefined : wildcard.suffix;
}

/**
 * Whether one label before the longer suffix gives a host name that also matches the shorter suffix; the star does not match a
 * dot.
 */
function isWithin(longer: string, shorter: string): boolean {
  return longer.endsWith(shorter) && !longer.slice(0, longer.length - shorter.length).includes(".");
}
