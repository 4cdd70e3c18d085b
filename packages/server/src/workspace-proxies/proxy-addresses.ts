import { DomainError } from "../base/domain-error.ts";
import { parseWildcard } from "../base/wildcard.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import { type OwnHosts, overlap, overlapsOwn, type ProxyAddress } from "./address-overlap.ts";

/** The origin of a proxy's access URL. Throws DomainError "invalid" for anything but http(s)://host[:port]. */
export function checkedAccessUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url !== undefined &&
    (url.protocol === "http:" || url.protocol === "https:") &&
    url.pathname === "/" &&
    url.search === "" &&
    url.hash === "" &&
    url.username === "" &&
    url.password === "" &&
    url.hostname !== "" &&
    url.port !== "0";
  if (isPlain) return url.origin;
  throw new DomainError("invalid", "The access URL must be of the form https://host or http://host:port.", {
    validations: [{ field: "access_url", detail: "must have the scheme http or https, and no path, query or user" }],
  });
}

/** The wildcard in lower case; "" is kept. Throws DomainError "invalid". */
export function checkedWildcard(text: string): string {
  if (text === "") return "";
  const wildcard = parseWildcard(text);
  if (!("error" in wildcard)) return wildcard.pattern;
  throw new DomainError("invalid", `The wildcard host name ${wildcard.error}.`, {
    validations: [{ field: "wildcard_hostname", detail: wildcard.error }],
  });
}

/** Throws DomainError "contested" if the deployment or another proxy uses the address or a part of it. */
export function refuseOverlap(
  address: ProxyAddress & Pick<WorkspaceProxyRow, "id">,
  proxies: readonly WorkspaceProxyRow[],
  own: OwnHosts,
): void {
  const other = proxies.find((proxy) => proxy.id !== address.id && overlap(address, proxy) !== undefined);
  const holder = other === undefined ? "the deployment itself" : `the workspace proxy "${other.name}"`;
  if (other === undefined && !overlapsOwn(address, own)) return;
  throw new DomainError("contested", `The address is that of ${holder}.`, {
    detail: "Each proxy needs an access URL of its own, and a wildcard host name whose hosts are no other's.",
  });
}
