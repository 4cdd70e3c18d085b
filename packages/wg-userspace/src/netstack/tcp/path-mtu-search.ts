import type { Instant } from "../../base/instant.ts";
import type { Sender } from "./sender.ts";

/** Sizes tried in turn when packets of a larger size are not acknowledged (as in RFC 4821 §7.7). */
const BLACK_HOLE_MTUS = [1280, 1024, 576];
const BLACK_HOLE_TIMEOUTS = 2;
/**
 * Timeouts before the next size is tried, if a packet of this size got through before: then loss is the more probable
 * reason.
 */
const BLACK_HOLE_TIMEOUTS_PROVEN = 4;
/** Time until larger packets are tried again; doubles every time. */
const FIRST_RETRY_MS = 30_000;
const LAST_RETRY_MS = 600_000;

/**
 * The packet size that the path of one connection carries: the stack's, limited by packet-too-big messages and by
 * detected black holes. A black hole and an outage look the same at first: so smaller packets are only a trial until
 * full-size ones fail a second time after something got through.
 */
export class PathMtuSearch {
  mtu: number;
  /** When larger packets will be tried again; Infinity: not planned. */
  retryAt = Number.POSITIVE_INFINITY;
  #retryMs = FIRST_RETRY_MS;
  #trial = false;
  #suspected = false;

  constructor(mtu: number) {
    this.mtu = mtu;
  }

  /** A packet-too-big message; already checked against what is in flight. @returns whether the size changed. */
  reported(mtu: number, now: Instant): boolean {
    if (mtu >= this.mtu) return false;
    this.mtu = mtu;
    this.#planRetry(now);
    return true;
  }

  /** The stack's current MTU for the path. @returns whether the size changed. */
  restore(mtu: number): boolean {
    this.retryAt = Number.POSITIVE_INFINITY;
    if (mtu === this.mtu) return false;
    this.mtu = mtu;
    return true;
  }

  /** After a retransmission timeout. @returns whether a smaller size is to be used from now. */
  onTimeout(sender: Sender, now: Instant): boolean {
    const { board } = sender;
    if (!sender.synchronized || board.empty) return false;
    const firstLength = board.end(board.first) - board.start(board.first);
    const proven = board.largestDelivered >= firstLength;
    if (sender.timeouts < (proven ? BLACK_HOLE_TIMEOUTS_PROVEN : BLACK_HOLE_TIMEOUTS)) return false;
    const overhead = this.mtu - sender.mss;
    const smaller = BLACK_HOLE_MTUS.find((mtu) => mtu < this.mtu && firstLength > mtu - overhead);
    if (smaller === undefined) return false;
    this.mtu = smaller;
    if (this.#suspected) this.#planRetry(now);
    else this.#trial = true;
    return true;
  }

  /** Whether onProgress() should be called. */
  get wantsProgress(): boolean {
    return this.#trial || this.#suspected;
  }

  /** Data was acknowledged. @returns whether to try full-size packets again now. */
  onProgress(sender: Sender): boolean {
    if (this.#trial) {
      this.#trial = false;
      this.#suspected = true;
      sender.board.largestDelivered = 0;
      return true;
    }
    // Proven or disproved; a later failed retry counts as a new suspicion.
    if (this.#suspected && sender.board.largestDelivered >= sender.mss) this.#suspected = false;
    return false;
  }

  #planRetry(now: Instant): void {
    this.retryAt = now + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
  }
}
