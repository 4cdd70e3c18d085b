/** The relay map in the form that old clients follow: a WebSocket with one JSON message for each state of the map. */
import type { IncomingMessage } from "node:http";
import { type DerpMap, derpMapToJson } from "wg-userspace/derp/map";
import type { OpenStreams } from "../base/open-streams.ts";
import { type PlaceLimits, Places } from "../base/places.ts";
import type { UpgradeRoute } from "../base/routes.ts";
import { CLOSE_PROTOCOL_ERROR, TextSockets } from "../base/text-sockets.ts";

export function legacyMapRoute(deps: {
  readonly limits: { readonly mapSockets: PlaceLimits; readonly heartbeatMs: number };
  readonly streams: OpenStreams;
  readonly relayMap: () => DerpMap;
  readonly onChange: (listener: () => void) => () => void;
  readonly throwRefusal: () => void;
  readonly clientAddress: (request: IncomingMessage) => string;
}): UpgradeRoute {
  const sockets = new TextSockets({
    places: new Places("followers of the relay map", deps.limits.mapSockets),
    heartbeatMs: deps.limits.heartbeatMs,
    streams: deps.streams,
  });
  return {
    name: "derp map",
    match: ({ pathname }) => pathname === "/api/v2/derp-map",
    handle: async (request, socket, head) => {
      deps.throwRefusal();
      const follower = await sockets.accept(request, socket, head, { address: deps.clientAddress(request) });
      if (follower === undefined) return;
      const send = (): void => follower.send(Buffer.from(JSON.stringify(derpMapToJson(deps.relayMap()))));
      follower.onMessage(() => follower.close(CLOSE_PROTOCOL_ERROR, "nothing may be sent here"));
      follower.onClose(deps.onChange(send));
      send();
    },
  };
}
