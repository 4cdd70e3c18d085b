import type { Instant } from "../../base/instant.ts";

/** Facts for a controller at a loss. Sizes in bytes. */
export interface LossContext {
  readonly inFlight: number;
  /** Share of the bytes sent lately, and since the last reduction, that was lost, 0 … 1. */
  readonly lossRate: number;
  /** The highest rate that the path has carried, bytes per ms. */
  readonly pathRate: number;
  /** Average fill of the queue at recent losses, as a share of its fullest, 0 … 1. */
  readonly queueAtLoss: number;
  /** The last round trip measured. */
  readonly rttMs: number;
  /** Smallest round trip of the current or last full round, and of the whole path. */
  readonly roundMinRttMs: number;
  readonly minRttMs: number;
}

/**
 * Decides how much may be in flight. All sizes in bytes. Loss recovery itself (what to send again, proportional rate
 * reduction) is the sender's; during recovery the sender uses `ssthresh` as its target and calls no onAck.
 */
export interface CongestionController {
  readonly name: string;
  readonly cwnd: number;
  readonly ssthresh: number;
  /** New data was delivered while the window was the limit. */
  onAck(delivered: number, rttMs: number, now: Instant): void;
  /** A round trip's worth of data was acknowledged. */
  onRoundStart(now: Instant): void;
  /**
   * Once per loss episode. Sets ssthresh.
   * @returns false when the controller takes the loss for random and keeps its window: then there is no recovery phase.
   */
  onLoss(context: LossContext, now: Instant): boolean;
  /** Recovery is over: continue from ssthresh. */
  onRecovered(now: Instant): void;
  /** First timeout of an episode. */
  onTimeout(context: LossContext, now: Instant): void;
  /** The last onLoss or onTimeout was wrong: return to the state before it. */
  undo(now: Instant): void;
  /** Nothing was sent for `idleMs` (RFC 2861): the window is no longer a measure of the path. */
  onIdle(idleMs: number, rtoMs: number, now: Instant): void;
  /** The path changed: start over. */
  reset(now: Instant): void;
  setMss(mss: number): void;
}

/** RFC 6928. */
export const INITIAL_WINDOW_SEGMENTS = 10;
/** No connection may keep more in flight than the largest send buffer, plus room for ACKs to clock. */
export const MAX_CWND_BYTES = 64 * 1024 * 1024;

/** RFC 2861 §2, shared: halves per RTO of idleness, not below the initial window. */
export function windowAfterIdle(cwnd: number, mss: number, idleMs: number, rtoMs: number): number {
  const floor = Math.min(cwnd, INITIAL_WINDOW_SEGMENTS * mss);
  const halvings = Math.min(Math.floor(idleMs / rtoMs), 30);
  return Math.max(floor, cwnd / 2 ** halvings);
}
