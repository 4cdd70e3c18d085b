/** Decides which region carries this browser's terminals and apps, without I/O: what is known goes in. */

/** The fields of a region in GET /regions that the choice depends on. */
export interface RegionState {
  readonly id: string;
  readonly healthy: boolean;
}

/** What this browser remembers between visits. */
export interface RegionChoice {
  readonly id: string;
  /** A user's choice stays; one by latency is made again when its region is gone. */
  readonly by: "person" | "latency";
}

export interface RegionDecision {
  /** The region to use now; undefined when the deployment names none. */
  readonly active: string | undefined;
  /** What to remember from now on; undefined for nothing. */
  readonly choice: RegionChoice | undefined;
  /** The regions have to be measured before one can be chosen. */
  readonly measure: boolean;
}

/** Shortest round trip by id, in ms; a region that did not answer has none. */
export type Latencies = ReadonlyMap<string, number>;

/**
 * The primary comes first in `regions`. While the chosen region is unhealthy the primary stands in for it, and the choice stays,
 * so that returning needs no measurement. Latencies alone never change a choice: moving with every measurement would break off
 * open terminals and apps.
 */
export function decideRegion(
  regions: readonly RegionState[],
  remembered: RegionChoice | undefined,
  latencies: Latencies | undefined,
): RegionDecision {
  const [primary] = regions;
  const chosen = regions.find(({ id }) => id === remembered?.id);
  if (chosen !== undefined)
    return { active: chosen.healthy ? chosen.id : primary?.id, choice: remembered, measure: false };
  // When a region is gone, the choice of it is dropped, even the user's: its id does not come back.
  if (regions.length < 2) return { active: primary?.id, choice: undefined, measure: false };
  if (latencies === undefined) return { active: primary?.id, choice: undefined, measure: true };
  const nearest = nearestRegion(regions, latencies);
  return {
    active: nearest ?? primary?.id,
    choice: nearest === undefined ? undefined : { id: nearest, by: "latency" },
    measure: false,
  };
}

/** The healthy region with the shortest round trip, the earlier one of two equals; undefined when none answered. */
function nearestRegion(regions: readonly RegionState[], latencies: Latencies): string | undefined {
  let nearest: string | undefined;
  let shortest = Number.POSITIVE_INFINITY;
  for (const { id, healthy } of regions) {
    const latency = latencies.get(id);
    if (!healthy || latency === undefined || latency >= shortest) continue;
    nearest = id;
    shortest = latency;
  }
  return nearest;
}

/** Parses what was remembered; undefined for anything else. */
export function parseChoice(text: string | null): RegionChoice | undefined {
  if (text === null) return undefined;
  try {
    const { id, by } = JSON.parse(text) as Partial<RegionChoice>;
    return typeof id === "string" && (by === "person" || by === "latency") ? { id, by } : undefined;
  } catch {
    return undefined; // not written by this page
  }
}
