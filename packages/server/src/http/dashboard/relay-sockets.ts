import type { DerpMap } from "wg-userspace/derp/map";
import { relayOrigin } from "../relay-origin.ts";

/** The relays of the map as WebSocket origins, to which a page's tunnel connects. */
export function relaySockets({ regions }: DerpMap): string[] {
  const origins = [...regions.values()].flatMap(({ nodes }) => nodes.map((node) => relayOrigin(node, "ws")));
  return [...new Set(origins.filter((origin) => origin !== undefined))];
}
