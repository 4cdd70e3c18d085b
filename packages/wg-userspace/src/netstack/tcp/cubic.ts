import type { Instant } from "../../base/instant.ts";
import {
  type CongestionController,
  INITIAL_WINDOW_SEGMENTS,
  type LossContext,
  MAX_CWND_BYTES,
  windowAfterIdle,
} from "./congestion.ts";
import { HyStart } from "./hystart.ts";

/** RFC 9438 §4.6. */
const BETA = 0.7;
/** RFC 9438 §4.1, segments per second cubed. */
const C = 0.4;
/** RFC 9438 §4.3. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/**
 * Losses below this rate, on a path whose round trip shows no queue, count as random and not as congestion. CUBIC as in
 * RFC 9438 settles at 3 Mbit/s when one packet in a thousand is lost on a path of 100 ms (its §5.2), which is unusable
 * on radio links. The limit is that of BBRv2: a full queue or a policer loses more, or delays, or both.
 */
const RANDOM_LOSS_LIMIT = 0.02;
/** Losses at a queue fuller than this on average come from a queue that is too short to be seen otherwise. */
const QUEUE_AT_LOSS_LIMIT = 0.5;
/**
 * There is no queue if the smallest round trip of a round is within an eighth of the best ever, or within this much of
 * it.
 */
const QUEUE_FLOOR_MS = 1;

interface Saved {
  readonly cwnd: number;
  readonly ssthresh: number;
  readonly wMax: number;
  readonly k: number;
  readonly epochAt: number | undefined;
}

/** CUBIC (RFC 9438) with HyStart++ (RFC 9406) and, unless `strict`, tolerance of random loss. */
export class Cubic implements CongestionController {
  readonly name = "cubic";
  cwnd: number;
  ssthresh = Number.POSITIVE_INFINITY;
  readonly #strict: boolean;
  readonly #hystart = new HyStart();
  #mss: number;
  /** Window before the last reduction, bytes. */
  #wMax = 0;
  /** Seconds until the cubic is back at wMax. */
  #k = 0;
  #epochAt: Instant | undefined;
  /** Reno's window (RFC 9438 §4.3), bytes. */
  #wEst = 0;
  #cwndPrior = 0;
  #saved: Saved | undefined;

  constructor(mss: number, strict: boolean) {
    this.#mss = mss;
    this.#strict = strict;
    this.cwnd = INITIAL_WINDOW_SEGMENTS * mss;
  }

  onAck(delivered: number, rttMs: number, now: Instant): void {
    if (this.cwnd < this.ssthresh) {
      // HyStart++ is for the first slow start; after a timeout ssthresh is the better guide (RFC 9406 §4.3).
      const growth =
        this.ssthresh === Number.POSITIVE_INFINITY
          ? this.#hystart.growth(delivered, delivered / this.#mss, rttMs)
          : delivered;
      this.cwnd = Math.min(this.cwnd + growth, MAX_CWND_BYTES);
      if (this.#hystart.done && this.ssthresh === Number.POSITIVE_INFINITY) this.ssthresh = this.cwnd;
      return;
    }
    const mss = this.#mss;
    if (this.#epochAt === undefined) {
      this.#epochAt = now;
      this.#wEst = this.cwnd;
      if (this.cwnd < this.#wMax) this.#k = Math.cbrt((this.#wMax - this.cwnd) / mss / C);
      else {
        this.#k = 0;
        this.#wMax = this.cwnd;
      }
    }
    const alpha = this.#wEst >= this.#cwndPrior ? 1 : ALPHA;
    this.#wEst += alpha * mss * (delivered / this.cwnd);
    const t = (now - this.#epochAt) / 1000;
    const cubicNow = this.#wMax + C * mss * (t - this.#k) ** 3;
    if (cubicNow < this.#wEst) {
      this.cwnd = Math.min(Math.max(this.cwnd, this.#wEst), MAX_CWND_BYTES);
      return;
    }
    const ahead = this.#wMax + C * mss * (t + rttMs / 1000 - this.#k) ** 3;
    const target = Math.min(Math.max(ahead, this.cwnd), 1.5 * this.cwnd);
    this.cwnd = Math.min(this.cwnd + ((target - this.cwnd) / this.cwnd) * delivered, MAX_CWND_BYTES);
  }

  onRoundStart(): void {
    this.#hystart.onRoundStart();
  }

  onLoss(context: LossContext, _now: Instant): boolean {
    this.#save();
    const first = this.ssthresh === Number.POSITIVE_INFINITY;
    // In slow start the queue of a round has drained when the next begins: its minimum shows nothing.
    const queued = hasQueue(context) || (first && this.#hystart.conservative);
    const tolerant = !this.#strict && !queued;
    if (tolerant && context.queueAtLoss < QUEUE_AT_LOSS_LIMIT && context.lossRate < RANDOM_LOSS_LIMIT) return false;
    this.#reduce(tolerant);
    if (queued && first) this.#limitToPath(context);
    return true;
  }

  onRecovered(): void {
    this.cwnd = this.ssthresh;
  }

  onTimeout(context: LossContext, _now: Instant): void {
    this.#save();
    this.#reduce(!this.#strict && !hasQueue(context));
    this.cwnd = this.#mss;
  }

  undo(): void {
    const saved = this.#saved;
    if (saved === undefined) return;
    this.cwnd = Math.max(saved.cwnd, this.cwnd);
    this.ssthresh = saved.ssthresh;
    this.#wMax = saved.wMax;
    this.#k = saved.k;
    this.#epochAt = saved.epochAt as Instant | undefined;
    this.#saved = undefined;
  }

  onIdle(idleMs: number, rtoMs: number): void {
    this.ssthresh = Math.max(this.ssthresh, (3 * this.cwnd) / 4);
    this.cwnd = windowAfterIdle(this.cwnd, this.#mss, idleMs, rtoMs);
    // The window does not grow for an idle period (RFC 9438 §5.8).
    this.#epochAt = undefined;
  }

  reset(): void {
    this.cwnd = INITIAL_WINDOW_SEGMENTS * this.#mss;
    this.ssthresh = Number.POSITIVE_INFINITY;
    this.#wMax = this.#k = this.#cwndPrior = 0;
    this.#epochAt = undefined;
    this.#saved = undefined;
    this.#hystart.reset();
  }

  setMss(mss: number): void {
    this.#mss = mss;
  }

  /** Without a visible queue the window does not fall below the initial one, which does not fill the path. */
  #reduce(noQueue: boolean): void {
    this.#epochAt = undefined;
    this.#cwndPrior = this.cwnd;
    // Fast convergence (§4.7): a flow whose maximum shrinks makes room for a new one.
    this.#wMax = this.cwnd < this.#wMax ? (this.cwnd * (1 + BETA)) / 2 : this.cwnd;
    const floor = noQueue ? INITIAL_WINDOW_SEGMENTS : 2;
    this.ssthresh = Math.max(this.cwnd * BETA, floor * this.#mss);
  }

  /**
   * The first slow start overflowed a queue. Its window is up to twice the capacity of path and queue, so 0.7 of it
   * overflows them again (RFC 9438 §4.6: "packet loss can happen for more than one RTT"). That capacity is known: the
   * bytes delivered in the last round trip. The window falls to 0.7 of it, but not below what fills the path without a
   * queue.
   */
  #limitToPath(context: LossContext): void {
    const held = context.pathRate * context.rttMs;
    const path = context.pathRate * context.minRttMs;
    const target = Math.max(held * BETA, path, INITIAL_WINDOW_SEGMENTS * this.#mss);
    if (target >= this.ssthresh) return;
    this.ssthresh = target;
    this.#wMax = Math.max(Math.min(held, this.cwnd), target);
  }

  #save(): void {
    this.#saved = { cwnd: this.cwnd, ssthresh: this.ssthresh, wMax: this.#wMax, k: this.#k, epochAt: this.#epochAt };
  }
}

function hasQueue(context: LossContext): boolean {
  const queueMs = context.roundMinRttMs - context.minRttMs;
  return !(queueMs <= Math.max(QUEUE_FLOOR_MS, context.minRttMs / 8));
}
