import type { DerpMap, Region } from "wg-userspace/derp/map";
import { relayOrigin } from "../relay-origin.ts";

/** A relay region, with the addresses at which a browser measures its latency. */
export interface RegionView {
  readonly region_id: number;
  readonly code: string;
  readonly name: string;
  /** Whether it is this server's own. */
  readonly embedded: boolean;
  /** The embedded relay is measured at the host that the browser already uses. */
  readonly latency_urls: readonly string[];
  /** Number of agents whose home it is. */
  readonly agents: number;
}

const LATENCY_CHECK = "/derp/latency-check";
/** Addresses per region that a browser measures; a public map may have many nodes. */
const MAX_URLS = 2;

export function regionViews(
  map: DerpMap,
  homes: ReadonlyMap<number, number>,
  embeddedRegionId: number | undefined,
): RegionView[] {
  return [...map.regions.values()].map((region) => ({
    region_id: region.regionId,
    code: region.regionCode,
    name: region.regionName,
    embedded: region.regionId === embeddedRegionId,
    latency_urls:
      region.regionId === embeddedRegionId
        ? [LATENCY_CHECK]
        : measuredOrigins(region).map((origin) => `${origin}${LATENCY_CHECK}`),
    agents: homes.get(region.regionId) ?? 0,
  }));
}

/** Origins at which pages measure latency, for their policy. */
export function relayOrigins(map: DerpMap, embeddedRegionId: number | undefined): string[] {
  const regions = [...map.regions.values()].filter(({ regionId }) => regionId !== embeddedRegionId);
  return regions.flatMap(measuredOrigins);
}

function measuredOrigins({ nodes }: Region): string[] {
  const origins = nodes.map((node) => relayOrigin(node, "http")).filter((origin) => origin !== undefined);
  return origins.slice(0, MAX_URLS);
}
