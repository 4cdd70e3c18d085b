/** The regions of workspace proxies in the relay map. */
import { proxyRegionCode } from "coder-protocol/proxy-names";
import { type DerpMap, derpMapOf, parseAccessUrl, type Region, relayNode } from "wg-userspace/derp/map";

/** The fields of a proxy that the map uses. */
export interface RegionSource {
  readonly name: string;
  readonly display_name: string;
  readonly region_number: number;
  readonly url: string;
  /** 0 if it has no STUN server. */
  readonly stun_port: number;
}

export interface MapWithProxies {
  readonly map: DerpMap;
  /** Proxies whose region was left out of the map, and why. */
  readonly leftOut: readonly LeftOutProxy[];
}

export interface LeftOutProxy {
  readonly name: string;
  readonly why: string;
}

const MAX_REGION_ID = 65_535;
/** Ids of proxies begin at a multiple of this, so that they stay the same when a few STUN regions are added or removed. */
const STEP = 10_000;
/** Ids reserved above the largest one of the map. */
const RESERVE = 2_000;

/** The map with an additional region for each proxy. */
export function withProxyRegions(base: DerpMap, proxies: readonly RegionSource[]): MapWithProxies {
  if (proxies.length === 0) return { map: base, leftOut: [] };
  const codes = new Set([...base.regions.values()].map(({ regionCode }) => regionCode));
  const names = new Set([...base.regions.values()].flatMap(({ nodes }) => nodes.map(({ name }) => name)));
  const regions = [...base.regions.values()];
  const leftOut: LeftOutProxy[] = [];
  for (const proxy of proxies) {
    const region = regionOf(base, proxy);
    const why =
      typeof region === "string"
        ? region
        : codes.has(region.regionCode)
          ? `the relay map has another region with the code "${region.regionCode}"`
          : region.nodes.some(({ name }) => names.has(name))
            ? `the relay map has another relay with the name "${region.regionId}a"`
            : undefined;
    if (typeof region === "string" || why !== undefined) leftOut.push({ name: proxy.name, why: why ?? "" });
    else {
      codes.add(region.regionCode);
      regions.push(region);
    }
  }
  return { map: { ...derpMapOf(regions, base.regionScore), omitDefaultRegions: base.omitDefaultRegions }, leftOut };
}

/** The id of a proxy's region. It may exceed the largest valid id. */
export function proxyRegionId(base: DerpMap, regionNumber: number): number {
  const largest = Math.max(0, ...base.regions.keys());
  return Math.max(STEP, Math.ceil((largest + RESERVE) / STEP) * STEP) + regionNumber;
}

/** Why a region cannot have this id; undefined if it can. */
export function proxyRegionIdLimit(regionId: number): string | undefined {
  return regionId > MAX_REGION_ID
    ? `its region id would be ${regionId}, and the largest one is ${MAX_REGION_ID}`
    : undefined;
}

/** The region, or why there is none. */
function regionOf(base: DerpMap, proxy: RegionSource): Region | string {
  const regionId = proxyRegionId(base, proxy.region_number);
  const beyond = proxyRegionIdLimit(regionId);
  if (beyond !== undefined) return beyond;
  let address: ReturnType<typeof parseAccessUrl>;
  try {
    address = parseAccessUrl(proxy.url);
  } catch (error) {
    return (error as Error).message;
  }
  const { hostName, port: derpPort, forceHttp } = address;
  const stunPort = proxy.stun_port === 0 ? -1 : proxy.stun_port;
  return {
    regionId,
    regionCode: proxyRegionCode(proxy.name),
    regionName: proxy.display_name === "" ? proxy.name : proxy.display_name,
    embeddedRelay: false,
    avoid: false,
    nodes: [relayNode({ name: `${regionId}a`, regionId, hostName, derpPort, forceHttp, stunPort })],
  };
}
