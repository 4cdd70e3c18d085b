/** Which region carries the terminals and apps of this browser. Decisions without I/O: what is known goes in. */

/** What the choice reads of a region of GET /regions. */
export interface RegionState {
  readonly id: string;
  readonly healthy: boolean;
}

/** What this browser remembers. */
export interface RegionChoice {
  readonly id: string;
  /** A person's choice stays; one by latency is made again when its region is gone. */
  readonly by: "person" | "latency";
}

export interface RegionDecision {
  /** Region that is used now; undefined where the deployment names none. */
  readonly active: string | undefined;
  /** What is remembered from now on; undefined: nothing. */
  readonly choice: RegionChoice | undefined;
  /** The regions have to be measured before one can be chosen. */
  readonly measure: boolean;
}

/** Shortest round trip by id, in ms; a region that did not answer has none. */
export type Latencies = ReadonlyMap<string, number>;

/**
 * The primary comes first in `regions`. While the chosen region is not healthy the primary stands in for it and the choice
 * stays, so that the way back needs no measurement. Latencies alone never change a choice: a browser that moved between
 * regions with every measurement would break off what it carries.
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
  // A region that is gone takes the choice with it, a person's as well: its id does not come back.
  if (regions.length < 2) return { active: primary?.id, choice: undefined, measure: false };
  if (latencies === undefined) return { active: primary?.id, choice: undefined, measure: true };
  const nearest = nearestRegion(regions, latencies);
  return {
    active: nearest ?? primary?.id,
    choice: nearest === undefined ? undefined : { id: nearest, by: "latency" },
    measure: false,
  };
}

/** The healthy region with the shortest round trip, the earlier one of two equal ones; undefined when none answered. */
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

/** Reads what was remembered; undefined for anything else. */
export function parseChoice(text: string | null): RegionChoice | undefined {
  if (text === null) return undefined;
  try {
    const { id, by } = JSON.parse(text) as Partial<RegionChoice>;
    return typeof id === "string" && (by === "person" || by === "latency") ? { id, by } : undefined;
  } catch {
    return undefined; // not written by this page
  }
}
