import type { Instant } from "../base/instant.ts";
import { ipEqual } from "../base/ip.ts";
import type { SegmentTally } from "../base/segment-tally.ts";
import { WindowedMin } from "../base/windowed-min.ts";
import type { Candidate } from "./candidate.ts";

/**
 * Round trips are compared by their minimum over one to two of these: so that a queue of our own making does not count.
 */
const RTT_WINDOW_MS = 30_000;
/** Fewer round trips say nothing. */
const MIN_DIRECT_RTTS = 4;
const MIN_RELAY_RTTS = 2;
/** The relay is taken when the direct round trip exceeds this multiple of the relay's by the margin. */
const SLOW_FACTOR = 2;
const SLOW_MARGIN_MS = 30;
/** The relay is left when the direct round trip is below this multiple of the relay's plus the margin. */
const FINE_FACTOR = 1.5;
const FINE_MARGIN_MS = 15;
/** A round trip through the relay this old no longer counts as evidence for it. */
const RELAY_FRESH_MS = 60_000;
/** A relay in use by choice that is silent this long is left, if the direct path answers. */
const RELAY_SILENT_MS = 3_000;

/**
 * Of at least this many heartbeats, this number and this share have to be lost for the relay to be taken without more evidence.
 */
const MIN_OUTCOMES = 12;
const MIN_LOST = 5;
const LOSSY_SHARE = 0.25;
/** To return, at least 15 of the last 16 heartbeats must have been answered. */
const CLEAN_OUTCOMES = 16;
const CLEAN_ANSWERED = 15;

/**
 * Heartbeats that are lost beside a flow may be lost to that flow, as at a policer: this soon after a complete sample TCP alone
 * decides, by a trial.
 */
const LOADED_MS = 3_000;
/** A sample of TCP's fate covers at least this many segments, or is thrown away after this long. */
const SAMPLE_SEGMENTS = 20;
const SAMPLE_MS = 10_000;
/**
 * Shares of retransmissions that are bad: while the path is what limits the sender, and in any case. The first is
 * beyond what the congestion controller takes for random: a policed path goes on losing far more.
 */
const LIMITED_RESENT = 0.05;
const RESENT = 0.08;
/** This many bad samples in a row, over at least this many segments, start a trial of the relay. */
const TRIAL_AFTER = 3;
const TRIAL_SEGMENTS = 100;
/** Heartbeats of a trial: during the first the window grows, the others are measured. */
const TRIAL_BEATS = 3;
/**
 * The relay stays when it delivered this much more: twice as much, or a quarter more where the direct path lost so much that it
 * is bad in any case. In that case it also stays if it delivered nearly as much without the loss.
 */
const FAR_MORE = 2;
const CLEARLY_MORE = 1.25;
const NEARLY_AS_MUCH = 0.8;

/** Hold-off after a trial or a return that failed: doubled each time, up to the second value. */
const HOLD_MS = 30_000;
const MAX_HOLD_MS = 10 * 60_000;
/** A return is on probation this long: no trial of the relay is needed to go back. */
const PROBATION_MS = 60_000;
const PROBATION_AFTER = 2;

export type RelayReason = "loss" | "latency" | "rate";

/** Why traffic goes by relay although a direct path answers. Rates in bytes per ms, shares 0 … 1. */
export interface RelayVerdict {
  readonly reason: RelayReason;
  readonly directRttMs: number;
  readonly relayRttMs: number;
  /** Share of heartbeats lost; undefined while unknown. */
  readonly directLoss: number | undefined;
  /** Share of TCP segments retransmitted, if that gave the reason. */
  readonly resent?: number | undefined;
  readonly directRate?: number | undefined;
  readonly relayRate?: number | undefined;
}

/**
 * Decides whether a direct path that answers is worth using, or the relay serves better. Both ends decide for the direction in
 * which they send, from what they measure anyway:
 *
 * - **Latency**: smallest round trip of the heartbeats against that of the pings by relay. Two thresholds keep the choice from
 *   flapping.
 * - **Loss of heartbeats**: a path that loses every fourth is left, unless TCP loads it; fifteen of sixteen answered bring it
 *   back.
 * - **What TCP experiences** ({@link SegmentTally}) shows losses that only occur under load, such as a policer's. It is too
 *   ambiguous to act upon, since every full queue loses: it starts a *trial*. Traffic takes the relay for three seconds, and the
 *   rates delivered before and then decide. A failed trial is repeated after 30 s, then ever more rarely, up to 10 min.
 * - **Back again**: after the hold-off, and with clean heartbeats, traffic returns to the direct path on probation. If TCP fares
 *   badly again, traffic goes to the relay at once, and the hold-off doubles.
 *
 * A relay that falls silent is left within seconds. Nothing here costs traffic of its own but a relay ping per second while the
 * relay is used by choice and data flows.
 */
export class PathQuality {
  #mode: "direct" | "trial" | "relay" = "direct";
  #candidate: Candidate | undefined;
  #verdict: RelayVerdict | undefined;
  readonly #directRtt = new WindowedMin(RTT_WINDOW_MS);
  readonly #relayRtt = new WindowedMin(RTT_WINDOW_MS);
  #relayPongAt = Number.NEGATIVE_INFINITY;
  #relayUnansweredSince: number | undefined;

  // The sample under way: what the tally said when it began.
  #sampleAt = Number.NEGATIVE_INFINITY;
  #sentBefore = 0;
  #resentBefore = 0;
  #deliveredBefore = 0;
  /** The last sample was complete: TCP itself loads the path. */
  #loadedAt = Number.NEGATIVE_INFINITY;
  // Bad samples in a row, or the measured beats of a trial.
  #count = 0;
  #sent = 0;
  #resent = 0;
  #delivered = 0;
  #elapsedMs = 0;

  #trialBeats = 0;
  #trialAllowedAt = Number.NEGATIVE_INFINITY;
  #trialHoldMs = HOLD_MS;
  #returnAt = Number.NEGATIVE_INFINITY;
  #returnHoldMs = HOLD_MS;
  #probationUntil = Number.NEGATIVE_INFINITY;
  /** Figures of the direct path when the trial began or the probation failed, and the rate of the relay. */
  #directRate = 0;
  #directResent = 0;
  #relayRate = 0;

  /** Traffic should take the relay. */
  get prefersRelay(): boolean {
    return this.#mode !== "direct";
  }
  /** Why it does; undefined while it does not, and during a trial. */
  get verdict(): RelayVerdict | undefined {
    return this.#mode === "relay" ? this.#verdict : undefined;
  }
  /** Smallest recent round trip by relay; infinite when unknown. */
  get relayRttMs(): number {
    return this.#relayRtt.value;
  }

  /** The relay answered a ping. */
  relayPong(rttMs: number, now: Instant): void {
    this.#relayRtt.add(rttMs, now);
    this.#relayPongAt = now;
    this.#relayUnansweredSince = undefined;
  }

  /** The relay was pinged. */
  relayPinged(now: Instant): void {
    this.#relayUnansweredSince ??= now;
  }

  /** The peer has another relay: nothing is known about it. */
  relayChanged(): void {
    this.#relayRtt.reset();
    this.#relayPongAt = Number.NEGATIVE_INFINITY;
    this.#relayUnansweredSince = undefined;
    this.#toDirect();
  }

  /** The direct path in use answered a heartbeat. */
  directPong(rttMs: number, now: Instant): void {
    this.#directRtt.add(rttMs, now);
  }

  /** This direct path is the one in question now. Decisions about another path no longer apply. */
  pathChanged(candidate: Candidate, tally: SegmentTally, now: Instant): void {
    this.#startSample(tally, now);
    const before = this.#candidate;
    this.#candidate = candidate;
    // Another port of the same address leads over the same lines.
    if (before !== undefined && ipEqual(before.path.address.address, candidate.path.address.address)) return;
    this.#directRtt.reset();
    this.#toDirect();
  }

  /** The network changed. */
  reset(): void {
    this.#candidate = undefined;
    this.#verdict = undefined;
    this.#directRtt.reset();
    this.#trialAllowedAt = this.#probationUntil = Number.NEGATIVE_INFINITY;
    this.#trialHoldMs = this.#returnHoldMs = HOLD_MS;
    this.relayChanged();
  }

  /** Whether the relay should be pinged with this heartbeat: it is in use by choice, or may be soon. */
  wantsRelayPing(now: Instant, busy: boolean): boolean {
    if (this.#mode !== "direct") return busy || now - this.#relayPongAt > RELAY_FRESH_MS / 2;
    if (this.#candidate === undefined) return false;
    const doubtful = this.#count > 0 || this.#losesHeartbeats() || this.#seemsSlow();
    return doubtful && (this.#relayRtt.count < MIN_RELAY_RTTS || !this.#relayFresh(now));
  }

  /** Called with every heartbeat of a direct path that is not under suspicion. Returns whether {@link prefersRelay} changed. */
  beat(tally: SegmentTally, now: Instant): boolean {
    const before = this.prefersRelay;
    if (this.#mode === "direct") this.#beatDirect(tally, now);
    else if (this.#relaySilent(now)) {
      this.#trialAllowedAt = now + HOLD_MS;
      this.#toDirect();
    } else if (this.#mode === "trial") this.#beatTrial(tally, now);
    else this.#beatRelay(now);
    if (this.prefersRelay === before) return false;
    this.#startSample(tally, now);
    return true;
  }

  #beatDirect(tally: SegmentTally, now: Instant): void {
    const bad = this.#sample(tally, now);
    if (now >= this.#probationUntil && this.#probationUntil !== Number.NEGATIVE_INFINITY) {
      this.#probationUntil = Number.NEGATIVE_INFINITY;
      this.#returnHoldMs = HOLD_MS;
    }
    if (!this.#relayFresh(now) || this.#relayOverdue(now)) return;
    if (this.#seemsSlow() && this.#relayRtt.count >= MIN_RELAY_RTTS) this.#toRelay("latency", now);
    else if (this.#losesHeartbeats() && (now - this.#loadedAt > LOADED_MS || now < this.#probationUntil))
      this.#toRelay("loss", now);
    else if (bad && now < this.#probationUntil) {
      const slower = this.#delivered / this.#elapsedMs < NEARLY_AS_MUCH * this.#relayRate;
      if (this.#count >= PROBATION_AFTER && slower) {
        this.#noteStreak();
        this.#toRelay(this.#verdict!.reason, now, true);
      }
    } else if (bad && this.#count >= TRIAL_AFTER && this.#sent >= TRIAL_SEGMENTS && now >= this.#trialAllowedAt) {
      this.#noteStreak();
      this.#mode = "trial";
      this.#trialBeats = 0;
    }
  }

  #beatTrial(tally: SegmentTally, now: Instant): void {
    if (++this.#trialBeats === 1) {
      this.#startSample(tally, now);
      return;
    }
    if (this.#trialBeats < TRIAL_BEATS) return;
    const sent = tally.sent - this.#sentBefore;
    const resent = (tally.resent - this.#resentBefore) / Math.max(1, sent);
    this.#relayRate = (tally.delivered - this.#deliveredBefore) / Math.max(1, now - this.#sampleAt);
    const lossy = this.#directResent >= RESENT;
    const muchMore = this.#relayRate >= (lossy ? CLEARLY_MORE : FAR_MORE) * this.#directRate;
    const cleaner = lossy && resent < this.#directResent / 2 && this.#relayRate >= NEARLY_AS_MUCH * this.#directRate;
    if (sent >= SAMPLE_SEGMENTS && (muchMore || cleaner)) {
      this.#trialHoldMs = HOLD_MS;
      this.#toRelay(muchMore ? "rate" : "loss", now, true);
      return;
    }
    this.#trialAllowedAt = now + this.#trialHoldMs;
    // A flow that ended in the meantime proved nothing.
    if (sent >= SAMPLE_SEGMENTS) this.#trialHoldMs = Math.min(2 * this.#trialHoldMs, MAX_HOLD_MS);
    this.#toDirect();
  }

  #beatRelay(now: Instant): void {
    if (this.#verdict?.reason === "latency") {
      if (this.#directRtt.value > FINE_FACTOR * this.#relayRtt.value + FINE_MARGIN_MS) return;
      this.#toDirect();
      return;
    }
    const candidate = this.#candidate!;
    const clean = candidate.outcomes >= CLEAN_OUTCOMES && candidate.answeredOf(CLEAN_OUTCOMES) >= CLEAN_ANSWERED;
    if (now < this.#returnAt || !clean) return;
    this.#probationUntil = now + PROBATION_MS;
    this.#toDirect();
  }

  /** What the bad samples in a row say about the direct path. */
  #noteStreak(): void {
    this.#directRate = this.#delivered / this.#elapsedMs;
    this.#directResent = this.#resent / this.#sent;
  }

  /** @param byTcp What TCP experienced on both ways gave the reason. */
  #toRelay(reason: RelayReason, now: Instant, byTcp = false): void {
    if (now < this.#probationUntil) this.#returnHoldMs = Math.min(2 * this.#returnHoldMs, MAX_HOLD_MS);
    this.#returnAt = now + this.#returnHoldMs;
    this.#probationUntil = Number.NEGATIVE_INFINITY;
    this.#verdict = {
      reason,
      directRttMs: this.#directRtt.value,
      relayRttMs: this.#relayRtt.value,
      directLoss: this.#candidate!.loss,
      resent: byTcp ? this.#directResent : undefined,
      directRate: byTcp ? this.#directRate : undefined,
      relayRate: byTcp ? this.#relayRate : undefined,
    };
    this.#mode = "relay";
  }

  #toDirect(): void {
    this.#mode = "direct";
    this.#clearStreak();
  }

  #relayFresh(now: Instant): boolean {
    return now - this.#relayPongAt < RELAY_FRESH_MS;
  }

  /** Silent although it was asked, while the direct path answers. */
  #relaySilent(now: Instant): boolean {
    const answers = now - (this.#candidate?.lastPongAt ?? Number.NEGATIVE_INFINITY) < RELAY_SILENT_MS;
    return answers && this.#relayOverdue(now);
  }

  #relayOverdue(now: Instant): boolean {
    return this.#relayUnansweredSince !== undefined && now - this.#relayUnansweredSince >= RELAY_SILENT_MS;
  }

  #seemsSlow(): boolean {
    if (this.#directRtt.count < MIN_DIRECT_RTTS || this.#relayRtt.count === 0) return false;
    return this.#directRtt.value > SLOW_FACTOR * this.#relayRtt.value + SLOW_MARGIN_MS;
  }

  #losesHeartbeats(): boolean {
    const candidate = this.#candidate!;
    const count = candidate.outcomes;
    const lost = count - candidate.answeredOf(count);
    return count >= MIN_OUTCOMES && lost >= MIN_LOST && lost >= LOSSY_SHARE * count;
  }

  /** Closes the sample when it covers enough. Returns whether it was closed and bad. */
  #sample(tally: SegmentTally, now: Instant): boolean {
    const sent = tally.sent - this.#sentBefore;
    const elapsedMs = now - this.#sampleAt;
    if (sent < SAMPLE_SEGMENTS) {
      if (elapsedMs > SAMPLE_MS) {
        this.#clearStreak();
        this.#startSample(tally, now);
      }
      return false;
    }
    this.#loadedAt = now;
    const resent = tally.resent - this.#resentBefore;
    const limited = tally.limitedAt >= this.#sampleAt;
    const bad = resent >= RESENT * sent || (limited && resent >= LIMITED_RESENT * sent);
    if (bad) {
      this.#count++;
      this.#sent += sent;
      this.#resent += resent;
      this.#delivered += tally.delivered - this.#deliveredBefore;
      this.#elapsedMs += elapsedMs;
    } else this.#clearStreak();
    this.#startSample(tally, now);
    return bad;
  }

  #startSample(tally: SegmentTally, now: Instant): void {
    this.#sampleAt = now;
    this.#sentBefore = tally.sent;
    this.#resentBefore = tally.resent;
    this.#deliveredBefore = tally.delivered;
  }

  #clearStreak(): void {
    this.#count = this.#sent = this.#resent = this.#delivered = this.#elapsedMs = 0;
  }
}
