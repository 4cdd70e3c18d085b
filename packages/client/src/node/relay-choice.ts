/** How the home relay is chosen: by the whole route through each relay, or by the name that a user gives. */
import { PRIMARY_PROXY_NAME, proxyRegionCode } from "coder-protocol/proxy-names";
import { type DerpMap, derpMapOf, hasRelay, type Region } from "wg-userspace/derp/map";

/** A dialled or redialled relay has this long to answer before another one is used instead. */
export const ANSWER_LIMIT_MS = 5_000;

/**
 * The latency by which homes are compared: our own leg, plus the peer's where both are known. A relay near us but far from the
 * workspace is no gain.
 * @param ownMs Our latency by region.
 * @param peerSeconds The latencies that the peer published: seconds by `<region>-v4` and `<region>-v6`.
 */
export function routeLatencies(
  ownMs: ReadonlyMap<number, number>,
  peerSeconds: ReadonlyMap<string, number> | undefined,
): ReadonlyMap<number, number> {
  const both = new Map<number, number>();
  for (const [region, ms] of ownMs) {
    const legs = ["v4", "v6"].flatMap((family) => peerSeconds?.get(`${region}-${family}`) ?? []);
    if (legs.length > 0) both.set(region, ms + 1000 * Math.min(...legs));
  }
  return both.size > 0 ? both : ownMs;
}

/**
 * The relay region that a user means: by its id, code or name, by the name of its workspace proxy, or by "primary". Undefined
 * when there is none.
 */
export function findRegion(map: DerpMap, text: string): Region | undefined {
  const wanted = text.toLowerCase();
  const relays = [...map.regions.values()].filter(hasRelay);
  return (
    relays.find(({ regionId }) => String(regionId) === wanted) ??
    relays.find(({ regionCode }) => regionCode.toLowerCase() === wanted) ??
    relays.find(({ regionName }) => regionName.toLowerCase() === wanted) ??
    relays.find(({ regionCode }) => regionCode.toLowerCase() === proxyRegionCode(wanted)) ??
    (wanted === PRIMARY_PROXY_NAME ? relays.find(({ embeddedRelay }) => embeddedRelay) : undefined)
  );
}

/** The region of a workspace proxy; undefined while the map does not have it. */
export function findProxyRegion(map: DerpMap, proxy: string): Region | undefined {
  const code = proxyRegionCode(proxy);
  return [...map.regions.values()].find(({ regionCode }) => regionCode === code);
}

/** The choices, for an error message: `999 coder "Coder Embedded Relay"`. */
export function describeRegions(map: DerpMap): string {
  return [...map.regions.values()]
    .filter(hasRelay)
    .map(({ regionId, regionCode, regionName }) => `${regionId} ${regionCode} "${regionName}"`)
    .join(", ");
}

/** The map without the regions that `leftOut` names. */
export function withoutRegions(map: DerpMap, leftOut: (regionId: number) => boolean): DerpMap {
  const kept = [...map.regions.values()].filter(({ regionId }) => !leftOut(regionId));
  return { ...derpMapOf(kept, map.regionScore), omitDefaultRegions: map.omitDefaultRegions };
}
