import type { WorkspaceProxyRow } from "../../db/schema.ts";

/** The origins of workspace proxies at which pages measure latency and open terminals. */
export function proxyOrigins(proxies: readonly Pick<WorkspaceProxyRow, "url">[]): string[] {
  return proxies.flatMap(({ url }) => [url, url.replace(/^http/, "ws")]);
}
