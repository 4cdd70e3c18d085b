import type { DerpMap, RegionId } from "../derp/map.ts";

/** Regions that an incremental run probes; two determine the kind of NAT, the third is a reserve. */
const INCREMENTAL_REGIONS = 3;
const FULL_TRIES = 3;
const RETRY_GAP_MS = 200;

/** Probes of one region over one address family, sent at each of these times until one is answered. */
export interface ProbeSet {
  readonly regionId: RegionId;
  readonly family: 4 | 6;
  /** Milliseconds after the start of the run. */
  readonly atMs: readonly number[];
}

export interface PlanOptions {
  readonly families: { readonly ipv4: boolean; readonly ipv6: boolean };
  /** Every region, instead of a few. */
  readonly full: boolean;
  /** What is known of the regions: the nearest are probed first. */
  readonly latencyMs: ReadonlyMap<RegionId, number>;
  /** IPv6 worked in the last run; if not, an incremental run does not probe it. */
  readonly ipv6Worked: boolean;
  readonly home: RegionId;
}

/**
 * Which STUN servers to probe, and when. One answer per region is enough, which is why every server is a region of its
 * own.
 */
export function probePlan(map: DerpMap, options: PlanOptions): ProbeSet[] {
  const regions = [...map.regions.values()]
    .filter((region) => region.nodes.some((node) => node.stunPort >= 0))
    .filter((region) => options.full || !region.avoid)
    .map((region) => region.regionId)
    .sort((a, b) => latencyOf(options, a) - latencyOf(options, b));
  const chosen = options.full ? regions : regions.slice(0, INCREMENTAL_REGIONS);
  return chosen.flatMap((regionId, index) => {
    const tries = options.full ? FULL_TRIES : regionId === options.home ? 4 : index < 2 ? 2 : 1;
    const gap = options.full ? RETRY_GAP_MS : 1.2 * (options.latencyMs.get(regionId) ?? RETRY_GAP_MS / 1.2);
    const atMs = Array.from({ length: tries }, (_, i) => i * gap + (i > 1 ? 50 * i : 0));
    const sets: ProbeSet[] = [];
    if (options.families.ipv4) sets.push({ regionId, family: 4, atMs });
    if (options.families.ipv6)
      sets.push({ regionId, family: 6, atMs: options.full || options.ipv6Worked ? atMs : atMs.slice(0, 1) });
    return sets;
  });
}

function latencyOf({ latencyMs }: PlanOptions, region: RegionId): number {
  return latencyMs.get(region) ?? Number.POSITIVE_INFINITY;
}
