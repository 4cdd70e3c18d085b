import type { WorkspaceProxyRow } from "../../db/schema.ts";

/** Where pages measure the way to workspace proxies, and open terminals there. */
export function proxyOrigins(proxies: readonly Pick<WorkspaceProxyRow, "url">[]): string[] {
  return proxies.flatMap(({ url }) => [url, url.replace(/^http/, "ws")]);
}
