import type { Node } from "wg-userspace/derp/map";

/** A host name or address. Any other text could extend the policy of a page. */
const HOST = /^[a-zA-Z0-9._:-]+$/;

/** The origin at which a page reaches a relay. Undefined for a node without a relay, or with a name that is not a host. */
export function relayOrigin(
  { hostName, derpPort, forceHttp, stunOnly }: Node,
  protocol: "http" | "ws",
): string | undefined {
  if (stunOnly || !HOST.test(hostName)) return undefined;
  const host = hostName.includes(":") ? `[${hostName}]` : hostName;
  const port = derpPort === 0 || derpPort === (forceHttp ? 80 : 443) ? "" : `:${derpPort}`;
  return `${protocol}${forceHttp ? "" : "s"}://${host}${port}`;
}
