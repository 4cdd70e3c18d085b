import { createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { WallClock } from "../base/clock.ts";
import { equalDigests, hashSecret } from "./tokens.ts";

const HEADER = "Coder-Health-Check";
const MINUTE_MS = 60_000;

/**
 * Proves that a request comes from a server of this deployment that is checking itself: behind a balancer it may reach another
 * server, which has the same key. A ticket opens only the echo of the health check.
 */
export class EchoTickets {
  readonly #key: Uint8Array;
  readonly #clock: WallClock;

  constructor(signingKey: Uint8Array, clock: WallClock) {
    this.#key = signingKey;
    this.#clock = clock;
  }

  /** Headers for a request that is sent now. */
  headers(): Readonly<Record<string, string>> {
    return { [HEADER]: this.#ticket(0) };
  }

  /**
   * Whether a server of this deployment made the ticket in this minute, the one before, or the next, in case its clock is ahead.
   */
  isOurs(request: IncomingMessage): boolean {
    const given = request.headers[HEADER.toLowerCase()];
    if (typeof given !== "string") return false;
    const digest = hashSecret(given);
    return [-1, 0, 1].some((minutes) => equalDigests(digest, hashSecret(this.#ticket(minutes))));
  }

  #ticket(minutesFromNow: number): string {
    const minute = Math.floor(this.#clock.now() / MINUTE_MS) + minutesFromNow;
    return createHmac("sha256", this.#key).update(`health check\0${minute}`).digest("base64url");
  }
}
