/**
 * Decides, without I/O, what to do when the relay of an automatically chosen home does not answer. After {@link ANSWER_LIMIT_MS}
 * the relays of other regions are dialled, and the first that answers becomes the home. If the whole network is down, none does,
 * and the home stays. A silent region can be chosen again once it was measured or its relay has answered.
 */
import { addMs, type Instant } from "wg-userspace/base/instant";
import { type DerpMap, hasRelay } from "wg-userspace/derp/map";
import { ANSWER_LIMIT_MS, withoutRegions } from "./relay-choice.ts";

/** Idle connections to other regions are closed, so while none answers they are dialled again at this interval. */
const DIAL_AGAIN_MS = 60_000;
/** How many relays are dialled at once. */
export const MAX_DIALLED = 8;

export type OutageStep =
  /** Choose the home again: another relay answers, and the home's does not. */
  | { readonly kind: "choose" }
  /** Dial the relays of these regions. */
  | { readonly kind: "dial"; readonly regionIds: readonly number[] };

export class HomeOutage {
  readonly #ready = new Set<number>();
  readonly #silent = new Set<number>();
  #home = 0;
  #searching = false;
  #nextDial: Instant | undefined;

  /** The regions to choose the home from: silent ones only if there is no other. */
  choices(map: DerpMap): DerpMap {
    const others = withoutRegions(map, (regionId) => this.#silent.has(regionId));
    return [...others.regions.values()].some(hasRelay) ? others : map;
  }

  /** The chosen home; 0 for none, or for one that must not be left. */
  setHome(regionId: number, now: Instant): void {
    if (regionId === this.#home) return;
    this.#home = regionId;
    if (regionId === 0 || this.#ready.has(regionId)) this.#rest();
    else this.#wait(now);
  }

  /** Regions that have just answered a measurement. */
  measured(latencyMs: ReadonlyMap<number, number>): void {
    for (const regionId of latencyMs.keys()) this.#silent.delete(regionId);
  }

  relayReady(regionId: number, map: DerpMap): OutageStep | undefined {
    this.#ready.add(regionId);
    this.#silent.delete(regionId);
    if (regionId === this.#home) this.#rest();
    return this.#searching && map.regions.has(regionId) ? this.#leave(map) : undefined;
  }

  relayLost(regionId: number, now: Instant): void {
    if (!this.#ready.delete(regionId) || regionId !== this.#home) return;
    this.#wait(now);
  }

  nextTimeout(): Instant | undefined {
    return this.#nextDial;
  }

  handleTimeout(map: DerpMap, now: Instant): OutageStep | undefined {
    if (this.#nextDial === undefined || this.#nextDial > now) return undefined;
    this.#searching = true;
    this.#nextDial = addMs(now, DIAL_AGAIN_MS);
    const others = [...map.regions.values()].filter((region) => hasRelay(region) && region.regionId !== this.#home);
    if (others.some(({ regionId }) => this.#ready.has(regionId))) return this.#leave(map);
    return { kind: "dial", regionIds: others.slice(0, MAX_DIALLED).map(({ regionId }) => regionId) };
  }

  /** Moves the home to a region that is known to answer. */
  #leave(map: DerpMap): OutageStep {
    this.#silent.clear();
    for (const id of map.regions.keys()) if (!this.#ready.has(id)) this.#silent.add(id);
    return { kind: "choose" };
  }

  #wait(now: Instant): void {
    this.#searching = false;
    this.#nextDial = addMs(now, ANSWER_LIMIT_MS);
  }

  #rest(): void {
    this.#searching = false;
    this.#nextDial = undefined;
  }
}
