/**
 * What becomes of the automatic home when its relay does not answer, without I/O. After {@link ANSWER_LIMIT_MS} the relays of
 * other regions are dialled, and the first that answers becomes the home: while the whole network is away none does, and the
 * home stays. A region that was silent then can be chosen again once it was measured, or its relay has answered.
 */
import { addMs, type Instant } from "wg-userspace/base/instant";
import { type DerpMap, hasRelay } from "wg-userspace/derp/map";
import { ANSWER_LIMIT_MS, withoutRegions } from "./relay-choice.ts";

/** Connections to other regions are closed when they are idle: while none answers they are dialled again. */
const DIAL_AGAIN_MS = 60_000;
/** Relays that are dialled at a time. */
export const MAX_DIALLED = 8;

export type OutageStep =
  /** The home is to be chosen again: another relay answers, and that of the home does not. */
  | { readonly kind: "choose" }
  /** The relays of these regions are to be dialled. */
  | { readonly kind: "dial"; readonly regionIds: readonly number[] };

export class HomeOutage {
  readonly #ready = new Set<number>();
  readonly #silent = new Set<number>();
  #home = 0;
  #searching = false;
  #nextDial: Instant | undefined;

  /** What the home is chosen from: silent regions count only where there is no other. */
  choices(map: DerpMap): DerpMap {
    const others = withoutRegions(map, (regionId) => this.#silent.has(regionId));
    return [...others.regions.values()].some(hasRelay) ? others : map;
  }

  /** The home that was chosen; 0 for none, or for one that is not to be left. */
  setHome(regionId: number, now: Instant): void {
    if (regionId === this.#home) return;
    this.#home = regionId;
    if (regionId === 0 || this.#ready.has(regionId)) this.#rest();
    else this.#wait(now);
  }

  /** Regions that answered a measurement just now. */
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

  /** The home becomes a region that is known to answer. */
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
