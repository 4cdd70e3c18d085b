import type { DerpMap, Region } from "wg-userspace/derp/map";
import { relayOrigin } from "../relay-origin.ts";

/** A relay region, with the addresses at which a browser measures the way to it. */
export interface RegionView {
  readonly region_id: number;
  readonly code: string;
  readonly name: string;
  /** Of this server itself. */
  readonly embedded: boolean;
  /** The embedded relay is measured at this very host. */
  readonly latency_urls: readonly string[];
  /** Agents that have their home there. */
  readonly agents: number;
}

const LATENCY_CHECK = "/derp/latency-check";
/** A public map may have many nodes; a browser measures these of each region. */
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

/** Origins that pages measure, for their policy. */
export function relayOrigins(map: DerpMap, embeddedRegionId: number | undefined): string[] {
  const regions = [...map.regions.values()].filter(({ regionId }) => regionId !== embeddedRegionId);
  return regions.flatMap(measuredOrigins);
}

function measuredOrigins({ nodes }: Region): string[] {
  const origins = nodes.map((node) => relayOrigin(node, "http")).filter((origin) => origin !== undefined);
  return origins.slice(0, MAX_URLS);
}
