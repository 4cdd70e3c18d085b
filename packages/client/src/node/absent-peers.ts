/**
 * Decides when to redial the relay because it keeps reporting that a peer is not connected to it, although the deployment
 * announces the peer in its region. This happens when several servers form one region, and the two that serve us and the peer
 * have lost each other: another connection may lead to a server that reaches the peer.
 */
import { addMs, earliest, type Instant } from "wg-userspace/base/instant";
import type { RandomSource } from "wg-userspace/base/ports";

/** Longer than the absence of a peer that redials its relay. */
const ABSENT_MS = 4_000;
/** Reports over a longer time than this count even if the peer is heard, because relays may be cut in one direction only. */
const BRIEF_MS = 2_000;
const FIRST_PAUSE_MS = 5_000;
const MAX_PAUSE_MS = 60_000;
/** After this long without an absence the pauses start short again. */
const CALM_MS = 2 * MAX_PAUSE_MS;

interface Absence {
  readonly since: Instant;
  /** Time of the last report. */
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

  /** The relay reported the absence of a peer that should be there. */
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
   * Returns whether to redial the relay: a peer has long been absent, or is still being reported.
   * @param heardAt Time of a peer's last authentic packet.
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
    // Between half the pause and all of it, so that the clients of one server do not dial at once.
    this.#waitUntil = addMs(now, this.#pauseMs * (0.5 + (this.#random.uint32() % 1024) / 2048));
    this.#pauseMs = Math.min(MAX_PAUSE_MS, 2 * this.#pauseMs);
    return true;
  }

  forget(id: string): void {
    this.#absences.delete(id);
  }
}
