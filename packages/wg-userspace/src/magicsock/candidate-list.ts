import type { Instant } from "../base/instant.ts";
import { addrPortEqual } from "../base/ip.ts";
import { mayProbe } from "./address-class.ts";
import { Candidate } from "./candidate.ts";
import type { UdpPath } from "./path.ts";

/** Upper limit of UDP candidates of one peer; the peer itself names them. */
export const MAX_CANDIDATES = 32;
/** A candidate known only from pings of the peer is forgotten this long after the last one. */
const HEARD_LIFE_MS = 45_000;

/** The addresses at which a peer may be reached, and how long each stays known. `kept` is the one in use. */
export class CandidateList {
  readonly #all: Candidate[] = [];

  get all(): readonly Candidate[] {
    return this.#all;
  }

  find(path: UdpPath): Candidate | undefined {
    return this.#all.find((known) => known.path === path || addrPortEqual(known.path.address, path.address));
  }

  /**
   * Undefined when the address may not be probed or there is no room: the stalest unnamed candidate makes room.
   * @param isHeard The peer pings from there, which may be the only way to it: the last named candidate that nothing was heard of
   * makes room as well.
   */
  add(path: UdpPath, kept: Candidate | undefined, isHeard = false): Candidate | undefined {
    if (!mayProbe(path.address.address) || path.address.port === 0) return undefined;
    if (this.#all.length >= MAX_CANDIDATES) {
      let victim = this.#all.findIndex((known) => known !== kept && !isNamed(known));
      if (victim < 0 && isHeard) victim = this.#all.findLastIndex((known) => known !== kept && isSilent(known));
      if (victim < 0) return undefined;
      this.#all.splice(victim, 1);
    }
    const candidate = new Candidate(path);
    this.#all.push(candidate);
    return candidate;
  }

  /** Forgets the candidates that no source names and no ping has come from lately. */
  dropUnnamed(kept: Candidate | undefined, now: Instant): void {
    this.#remove(kept, (one) => !isNamed(one) && (one.heardAt === undefined || now - one.heardAt > HEARD_LIFE_MS));
  }

  /** Forgets the candidates learned only from pings whose pings have stopped. */
  expire(kept: Candidate | undefined, now: Instant): void {
    this.#remove(kept, (one) => !isNamed(one) && one.heardAt !== undefined && now - one.heardAt > HEARD_LIFE_MS);
  }

  /** The one that answered last, if that was after `since`. */
  lastAnswered(since: number): Candidate | undefined {
    let last: Candidate | undefined;
    for (const candidate of this.#all)
      if ((candidate.lastPongAt ?? Number.NEGATIVE_INFINITY) > (last?.lastPongAt ?? since)) last = candidate;
    return last;
  }

  #remove(kept: Candidate | undefined, unwanted: (candidate: Candidate) => boolean): void {
    for (let i = this.#all.length - 1; i >= 0; i--) {
      const candidate = this.#all[i]!;
      if (candidate !== kept && unwanted(candidate)) this.#all.splice(i, 1);
    }
  }
}

function isSilent({ heardAt, lastPongAt }: Candidate): boolean {
  return heardAt === undefined && lastPongAt === undefined;
}

function isNamed(candidate: Candidate): boolean {
  return candidate.fromCoordinator || candidate.fromCallMeMaybe;
}
