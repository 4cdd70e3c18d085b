/**
 * The home region that the user names, without I/O: it is used while its relay answers, left for the automatic choice when the
 * relay has not answered for {@link ANSWER_LIMIT_MS}, and taken back when it answers again. The wait before a return grows with
 * each fallback, so that an unstable relay does not keep moving the home.
 */
import { addMs, type Instant } from "wg-userspace/base/instant";
import { type DerpMap, hasRelay } from "wg-userspace/derp/map";
import { ANSWER_LIMIT_MS, findRegion, withoutRegions } from "./relay-choice.ts";

/** Time from a fallback to the first return; doubled with each further fallback. */
export const FIRST_RETURN_MS = 30_000;
export const MAX_RETURN_MS = 10 * 60_000;
/** A region that has served for this long counts as if it had never failed. */
export const RETURN_WAIT_RESET_MS = 10 * 60_000;

/** Why the named region is not used. */
export type FallbackReason = "no-answer" | "not-in-map";

/** What a call of {@link RegionPreference} changed about the home. */
export type PreferenceChange =
  | { readonly kind: "fallback"; readonly why: FallbackReason }
  | { readonly kind: "return" }
  /** Connect to the relay, beside that of the home, to see whether it answers. */
  | { readonly kind: "dial"; readonly regionId: number };

type State =
  /** No relay map has arrived yet. */
  | { readonly kind: "new" }
  /** Its relay does not answer yet, or no longer does. No deadline means that there is no other relay. */
  | { readonly kind: "waiting"; readonly until: Instant | undefined }
  | { readonly kind: "ready"; readonly since: Instant }
  /** The automatic choice is used. `dialled`: from `returnAt` on, the region is taken back as soon as its relay answers. */
  | { readonly kind: "away"; readonly returnAt: Instant; readonly answers: boolean; readonly dialled: boolean };

export class RegionPreference {
  /** The name as given. */
  readonly wanted: string;
  #state: State = { kind: "new" };
  #regionId: number | undefined;
  #hasOther = false;
  #returnWaitMs = FIRST_RETURN_MS;

  constructor(wanted: string) {
    this.wanted = wanted;
  }

  /** The region to use as home; undefined while the automatic choice applies. */
  get home(): number | undefined {
    return this.#state.kind === "away" ? undefined : this.#regionId;
  }

  /** The regions for the automatic choice: after a fallback, all except the named one. */
  choices(map: DerpMap): DerpMap {
    if (this.#state.kind !== "away" || this.#regionId === undefined || !this.#hasOther) return map;
    return withoutRegions(map, (regionId) => regionId === this.#regionId);
  }

  handleMap(map: DerpMap, now: Instant): PreferenceChange | undefined {
    const before = this.#regionId;
    this.#regionId = findRegion(map, this.wanted)?.regionId;
    this.#hasOther = [...map.regions.values()].some((region) => hasRelay(region) && region.regionId !== this.#regionId);
    if (this.#regionId === undefined)
      return this.#state.kind === "away" ? this.#remainAway(now) : this.#fallBack("not-in-map", now);
    const state = this.#state;
    if (state.kind === "away") {
      if (before !== this.#regionId) this.#remainAway(now);
      if (this.#hasOther) return undefined;
      this.#state = { kind: "waiting", until: undefined };
      return { kind: "return" };
    }
    const waits = state.kind === "new" || before !== this.#regionId || state.kind === "waiting";
    const until = state.kind === "waiting" ? state.until : undefined;
    if (waits) this.#wait(until ?? addMs(now, ANSWER_LIMIT_MS));
    return undefined;
  }

  relayReady(regionId: number, now: Instant): PreferenceChange | undefined {
    if (regionId !== this.#regionId) return undefined;
    const state = this.#state;
    if (state.kind === "away") {
      if (state.dialled) return this.#return(now);
      this.#state = { ...state, answers: true };
    } else if (state.kind === "waiting") this.#state = { kind: "ready", since: now };
    return undefined;
  }

  relayLost(regionId: number, now: Instant): void {
    if (regionId !== this.#regionId) return;
    const state = this.#state;
    if (state.kind === "away") this.#state = { ...state, answers: false };
    if (state.kind !== "ready") return;
    if (addMs(state.since, RETURN_WAIT_RESET_MS) <= now) this.#returnWaitMs = FIRST_RETURN_MS;
    this.#wait(addMs(now, ANSWER_LIMIT_MS));
  }

  nextTimeout(): Instant | undefined {
    if (this.#state.kind === "waiting") return this.#state.until;
    return this.#state.kind === "away" && this.#regionId !== undefined ? this.#state.returnAt : undefined;
  }

  handleTimeout(now: Instant): PreferenceChange | undefined {
    const state = this.#state;
    if (state.kind === "waiting" && state.until !== undefined && state.until <= now)
      return this.#fallBack("no-answer", now);
    if (state.kind !== "away" || state.returnAt > now || this.#regionId === undefined) return undefined;
    if (state.answers) return this.#return(now);
    // An idle connection to another region than the home is closed, so it is dialled repeatedly.
    this.#state = { ...state, returnAt: addMs(now, this.#returnWaitMs), dialled: true };
    return { kind: "dial", regionId: this.#regionId };
  }

  #wait(until: Instant): void {
    this.#state = { kind: "waiting", until: this.#hasOther ? until : undefined };
  }

  #fallBack(why: FallbackReason, now: Instant): PreferenceChange {
    this.#state = { kind: "away", returnAt: addMs(now, this.#returnWaitMs), answers: false, dialled: false };
    this.#returnWaitMs = Math.min(MAX_RETURN_MS, 2 * this.#returnWaitMs);
    return { kind: "fallback", why };
  }

  /** The region left the map while it was not used, so what was known about its relay is void. */
  #remainAway(now: Instant): undefined {
    const state = this.#state as Extract<State, { kind: "away" }>;
    const returnAt = state.returnAt > now ? state.returnAt : now;
    this.#state = { kind: "away", returnAt, answers: false, dialled: false };
  }

  #return(now: Instant): PreferenceChange {
    this.#state = { kind: "ready", since: now };
    return { kind: "return" };
  }
}
