import type { FuzzTargetFactory } from "../../src/testing/fuzz.ts";
import { derpClient, derpFrames, derpHandshake, derpMap, derpRelay, upgradeAnswer } from "./derp-targets.ts";
import { discoMessages, discoPeer, stunMessages } from "./disco-targets.ts";
import { addressText, ipHeaders, netstackPackets } from "./netstack-targets.ts";
import { portmapGateway, portmapParsers, routeTables } from "./portmap-targets.ts";
import { wireguardDevice, wireguardInner, wireguardMessages } from "./wireguard-targets.ts";

/** Every parser of the engine. */
export const ENGINE_TARGETS: readonly FuzzTargetFactory[] = [
  wireguardMessages,
  wireguardDevice,
  wireguardInner,
  ipHeaders,
  netstackPackets,
  addressText,
  derpFrames,
  derpRelay,
  derpClient,
  derpHandshake,
  derpMap,
  upgradeAnswer,
  discoMessages,
  discoPeer,
  stunMessages,
  portmapParsers,
  portmapGateway,
  routeTables,
];
