import type { Instant } from "../base/instant.ts";

/** The path is not doubted this soon after a pong. */
const FIRST_GAP_MS = 150;
/** The gap doubles with every doubt that a pong dispelled, up to this: the peer may send another way on purpose. */
const MAX_GAP_MS = 10_000;

/**
 * Decides when a peer that sends another way than by the path in use is a reason to ask that path for a sign of life.
 */
export class Doubt {
  #gapMs = FIRST_GAP_MS;
  #allowedAt = Number.NEGATIVE_INFINITY;
  #reasonAt = Number.NEGATIVE_INFINITY;

  /** The peer sent another way. Called per packet. @returns whether to ask the path now. */
  reason(sinceLastPongMs: number, now: Instant): boolean {
    // A peer that sends by relay on purpose gives no new reason with every packet.
    if (now - this.#reasonAt > this.#gapMs) this.#gapMs = FIRST_GAP_MS;
    this.#reasonAt = now;
    return now >= this.#allowedAt && sinceLastPongMs >= FIRST_GAP_MS;
  }

  /** The path is being asked. */
  raised(now: Instant): void {
    this.#allowedAt = now + this.#gapMs;
    this.#gapMs = Math.min(2 * this.#gapMs, MAX_GAP_MS);
  }
}
