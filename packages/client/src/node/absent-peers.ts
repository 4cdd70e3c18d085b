/**
 * Decides when the relay is dialled again because it goes on reporting that a peer is not connected to it, although the
 * deployment announces the peer in its region. This happens when several servers form one region, and the two that we and
 * the peer are connected to have lost each other: another connection may lead to a server that reaches the peer.
 */
import { addMs, earliest, type Instant } from "wg-userspace/base/instant";
import type { RandomSource } from "wg-userspace/base/ports";

/** A peer that dials its relay again is absent for a shorter time. */
const ABSENT_MS = 4_000;
/** Reports over a longer time than this count although the peer is heard: relays may be cut in one direction only. */
const BRIEF_MS = 2_000;
const FIRST_PAUSE_MS = 5_000;
const MAX_PAUSE_MS = 60_000;
/** After so long without an absence the pauses begin again. */
const CALM_MS = 2 * MAX_PAUSE_MS;

interface Absence {
  readonly since: Instant;
  /** Of the last report. */
  last: Instant;
}

export class AbsentPeers {
  readonly #random: RandomSource;
  readonly #absences = new Map<string, Absence>();
  #pauseMs = FIRST_PAUSE_MS;
  #dialledAt: Instant | undefined;
  #waitUntil: Instant | undefined;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  /** The relay reported it of a peer that should be there. */
  reported(id: string, now: Instant): void {
    const known = this.#absences.get(id);
    if (known === undefined) this.#absences.set(id, { since: now, last: now });
    else known.last = now;
  }

  nextTimeout(): Instant | undefined {
    let next: Instant | undefined;
    for (const { since } of this.#absences.values()) next = earliest(next, addMs(since, ABSENT_MS));
    return next === undefined || this.#waitUntil === undefined || next > this.#waitUntil ? next : this.#waitUntil;
  }

  /**
   * Returns whether the relay should be dialled again: a peer is absent for long, or goes on to be reported.
   * @param heardAt Last authentic packet of a peer.
   */
  handleTimeout(heardAt: (id: string) => Instant | undefined, now: Instant): boolean {
    const next = this.nextTimeout();
    if (next === undefined || now < next) return false;
    for (const [id, { since, last }] of this.#absences)
      if ((heardAt(id) ?? since) > since && last <= addMs(since, BRIEF_MS)) this.#absences.delete(id);
    const isAbsent = [...this.#absences.values()].some(({ since }) => now >= addMs(since, ABSENT_MS));
    if (!isAbsent) return false;
    if (this.#dialledAt !== undefined && now > addMs(this.#dialledAt, CALM_MS)) this.#pauseMs = FIRST_PAUSE_MS;
    this.#absences.clear();
    this.#dialledAt = now;
    // Half of it to all of it: many clients of one server do not dial at once.
    this.#waitUntil = addMs(now, this.#pauseMs * (0.5 + (this.#random.uint32() % 1024) / 2048));
    this.#pauseMs = Math.min(MAX_PAUSE_MS, 2 * this.#pauseMs);
    return true;
  }

  forget(id: string): void {
    this.#absences.delete(id);
  }
}
