/** Addresses of proxies that lead to one place: for a browser, the hosts of two of them would be the same. Pure. */
import { parseWildcard, type Wildcard } from "../base/wildcard.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";

export type ProxyAddress = Pick<WorkspaceProxyRow, "url" | "wildcard_hostname">;

/** The deployment's own. */
export interface OwnHosts {
  readonly accessUrl: URL;
  readonly wildcard: Wildcard | undefined;
}

/** What of the address is also that of the other; undefined: nothing. */
export function overlap(one: ProxyAddress, other: ProxyAddress): "access_url" | "wildcard_hostname" | undefined {
  if (one.url !== "" && other.url !== "" && new URL(one.url).host === new URL(other.url).host) return "access_url";
  const [ours, theirs] = [suffixOf(one.wildcard_hostname), suffixOf(other.wildcard_hostname)];
  if (ours === undefined || theirs === undefined) return undefined;
  return isWithin(ours, theirs) || isWithin(theirs, ours) ? "wildcard_hostname" : undefined;
}

export function overlapsOwn(address: ProxyAddress, { accessUrl, wildcard }: OwnHosts): boolean {
  return overlap(address, { url: accessUrl.origin, wildcard_hostname: wildcard?.pattern ?? "" }) !== undefined;
}

/** Without its port: cookies do not tell ports apart. */
function suffixOf(pattern: string): string | undefined {
  const wildcard = parseWildcard(pattern);
  return "error" in wildcard ? undefined : wildcard.suffix;
}

/** Whether a host name of one label and the longer suffix is one of the shorter: the star stands for no dot. */
function isWithin(longer: string, shorter: string): boolean {
  return longer.endsWith(shorter) && !longer.slice(0, longer.length - shorter.length).includes(".");
}
