import type { DerpMap } from "wg-userspace/derp/map";

/** Where a page's tunnel finds the relays of the map, as origins of WebSockets. Names that are no host are left out. */
export function relaySockets({ regions }: DerpMap): string[] {
  const origins = new Set<string>();
  for (const { nodes } of regions.values()) {
    for (const node of nodes) {
      if (node.stunOnly || !/^[a-zA-Z0-9.:-]+$/.test(node.hostName)) continue;
      const host = node.hostName.includes(":") ? `[${node.hostName}]` : node.hostName;
      const port = node.derpPort === 0 ? "" : `:${node.derpPort}`;
      origins.add(`${node.forceHttp ? "ws" : "wss"}://${host}${port}`);
    }
  }
  return [...origins];
}
