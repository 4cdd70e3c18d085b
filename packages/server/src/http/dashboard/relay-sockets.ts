import type { DerpMap } from "wg-userspace/derp/map";
import { relayOrigin } from "../relay-origin.ts";

/** Where a page's tunnel finds the relays of the map, as origins of WebSockets. */
export function relaySockets({ regions }: DerpMap): string[] {
  const origins = [...regions.values()].flatMap(({ nodes }) => nodes.map((node) => relayOrigin(node, "ws")));
  return [...new Set(origins.filter((origin) => origin !== undefined))];
}
