import { addMs, type Instant } from "../base/instant.ts";
import type { RandomSource } from "../base/ports.ts";
import { type DerpMap, hasRelay, type Region, type RegionId } from "./map.ts";

/** Reports older than this no longer count. */
export const REPORT_LIFE_MS = 5 * 60_000;
/** A new home must be better by this much and by the ratio below. */
export const MIN_GAIN_MS = 10;
/** A new home's latency is at most this share of the old one's. */
export const MAX_KEPT_RATIO = 2 / 3;
const MAX_REPORTS = 64;

interface LatencyReport {
  readonly at: Instant;
  readonly latencyMs: ReadonlyMap<RegionId, number>;
}

/**
 * Chooses the home region, where peers find us: it should be near and should not change without need. The region with
 * the lowest latency of the last five minutes wins, but only among those that answered now, and the old home stays
 * unless the new one is clearly better.
 */
export class HomeChooser {
  readonly #random: RandomSource;
  readonly #reports: LatencyReport[] = [];
  #home: RegionId | undefined;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  /** The region chosen last; undefined before the first choice or when the map had no relay. */
  get home(): RegionId | undefined {
    return this.#home;
  }

  /**
   * Takes one measurement and returns the home from now on.
   * @param latencyMs Round trip to each region that answered; empty when nothing could be measured.
   */
  report(map: DerpMap, latencyMs: ReadonlyMap<RegionId, number>, now: Instant): RegionId | undefined {
    this.#reports.push({ at: now, latencyMs: new Map(latencyMs) });
    while (this.#reports.length > MAX_REPORTS || addMs(this.#reports[0]!.at, REPORT_LIFE_MS) < now)
      this.#reports.shift();
    this.#home = this.#choose(map, latencyMs);
    return this.#home;
  }

  #choose(map: DerpMap, current: ReadonlyMap<RegionId, number>): RegionId | undefined {
    const relays = [...map.regions.values()].filter(hasRelay);
    const answered = relays.filter((region) => isLatency(current.get(region.regionId)));
    const old = relays.find((region) => region.regionId === this.#home);
    if (answered.length === 0) return old?.regionId ?? this.#anyOf(relays);

    let best: RegionId | undefined;
    let bestMs = Number.POSITIVE_INFINITY;
    for (const { regionId } of preferred(answered)) {
      const ms = this.#lowest(regionId) * score(map, regionId);
      if (ms < bestMs) {
        best = regionId;
        bestMs = ms;
      }
    }
    const oldNow = old === undefined ? undefined : current.get(old.regionId);
    if (old !== undefined && isLatency(oldNow) && !old.avoid) {
      const oldMs = oldNow * score(map, old.regionId);
      if (oldMs - bestMs < MIN_GAIN_MS || bestMs > MAX_KEPT_RATIO * oldMs) return old.regionId;
    }
    return best;
  }

  #lowest(regionId: RegionId): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const { latencyMs } of this.#reports) {
      const ms = latencyMs.get(regionId);
      if (isLatency(ms) && ms < lowest) lowest = ms;
    }
    return lowest;
  }

  /** Nothing is known: spread the clients over the relays. */
  #anyOf(relays: readonly Region[]): RegionId | undefined {
    const candidates = preferred(relays);
    if (candidates.length === 0) return undefined;
    return candidates[this.#random.uint32() % candidates.length]!.regionId;
  }
}

/** Regions to avoid count only when there is no other. */
function preferred(regions: readonly Region[]): readonly Region[] {
  const welcome = regions.filter((region) => !region.avoid);
  return welcome.length > 0 ? welcome : regions;
}

function score(map: DerpMap, regionId: RegionId): number {
  const factor = map.regionScore.get(regionId) ?? 1;
  return factor > 0 ? factor : 1;
}

function isLatency(ms: number | undefined): ms is number {
  return ms !== undefined && Number.isFinite(ms) && ms >= 0;
}
