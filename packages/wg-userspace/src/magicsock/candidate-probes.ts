import type { Instant } from "../base/instant.ts";
import { DISCO_PADDED_BYTES } from "../disco/message.ts";
import { needsOpening } from "./address-class.ts";
import type { Candidate } from "./candidate.ts";

/** Least time between two probes to one candidate. */
const PROBE_GAP_MS = 350;
/** Least time between two probes if a ping of the peer has just shown that the way is open. */
const ANSWER_GAP_MS = 20;
/** Small packets to each candidate, one per round. */
const SMALL_PROBES = 3;
/** Hop limit of an opening packet: enough to pass our own router, too small to reach the peer's. */
const OPENING_TTL = 2;

/** Sends one disco ping; false when the budget of that address is used up. */
type SendProbe = (
  candidate: Candidate,
  payloadBytes: number | undefined,
  ttl: number | undefined,
  sample: boolean,
) => boolean;

/** The probes of one finder: how often, how large and how far they go. */
export class CandidateProbes {
  readonly #send: SendProbe;

  constructor(send: SendProbe) {
    this.#send = send;
  }

  /** Whether the last ping to it is long enough ago. */
  mayPing(candidate: Candidate, now: Instant): boolean {
    return candidate.lastPingAt === undefined || now - candidate.lastPingAt >= PROBE_GAP_MS;
  }

  /**
   * Like {@link mayPing}, but for when a ping of the peer has just arrived: our earlier probe may have come too early
   * to pass.
   */
  mayAnswer(candidate: Candidate, now: Instant): boolean {
    return now - (candidate.lastPingAt ?? Number.NEGATIVE_INFINITY) >= ANSWER_GAP_MS;
  }

  /** @param sample The outcome counts for the loss figure of the path. */
  ping(candidate: Candidate, now: Instant, payloadBytes = DISCO_PADDED_BYTES, sample = false): boolean {
    if (!this.#send(candidate, payloadBytes, undefined, sample)) return false;
    candidate.lastPingAt = now;
    candidate.pingsSent++;
    return true;
  }

  /** Sends a small packet, which tells a path that carries only those from one that carries nothing. */
  small(candidate: Candidate): void {
    if (!candidate.fromCoordinator || candidate.pongsReceived > 0 || candidate.smallPingsSent >= SMALL_PROBES) return;
    if (this.#send(candidate, undefined, undefined, false)) candidate.smallPingsSent++;
  }

  /** Sends a packet from which our own router learns the flow, but which never reaches the peer's. */
  open(candidate: Candidate): void {
    if (needsOpening(candidate.path.address.address)) this.#send(candidate, undefined, OPENING_TTL, false);
  }

  /** Asks whether the path carries packets of this size. */
  size(candidate: Candidate, payloadBytes: number): void {
    this.#send(candidate, payloadBytes, undefined, false);
  }
}
