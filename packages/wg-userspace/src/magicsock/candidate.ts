import type { Instant } from "../base/instant.ts";
import { isIpv4 } from "../base/ip.ts";
import { addressClass } from "./address-class.ts";
import type { UdpPath } from "./path.ts";

/** Pings whose fate is remembered, for the loss figure. */
const HISTORY = 32;

/** One UDP address where a peer may be, and how it answered so far. */
export class Candidate {
  readonly path: UdpPath;
  /** Named in the node message of the coordinator. */
  fromCoordinator = false;
  /** Named in the peer's latest CallMeMaybe. */
  fromCallMeMaybe = false;
  /** A ping of the peer came from there. */
  heardAt: Instant | undefined;
  lastPingAt: Instant | undefined;
  lastPongAt: Instant | undefined;
  rttMs: number | undefined;
  pingsSent = 0;
  pongsReceived = 0;
  /** Largest inner packet it was seen to carry beyond what every usable path carries; 0 for unknown. */
  carries = 0;
  #outcomes = 0;
  #outcomeCount = 0;

  constructor(path: UdpPath) {
    this.path = path;
  }

  recordOutcome(answered: boolean): void {
    this.#outcomes = ((this.#outcomes << 1) | (answered ? 1 : 0)) >>> 0;
    if (this.#outcomeCount < HISTORY) this.#outcomeCount++;
  }

  /** Share of the last pings (32 at most) that had no answer; undefined before the first verdict. */
  get loss(): number | undefined {
    if (this.#outcomeCount === 0) return undefined;
    let answered = 0;
    for (let bits = this.#outcomes; bits !== 0; bits &= bits - 1) answered++;
    return 1 - answered / this.#outcomeCount;
  }
}

/**
 * Whether `a` should take traffic from `b`: the faster one gains its percentage of advantage, and paths that are likely to
 * stay cheap and stable gain points. Nearly equal paths never alternate.
 */
export function isBetter(a: Candidate, b: Candidate): boolean {
  if (a === b) return false;
  const [fast, slow] = a.rttMs! <= b.rttMs! ? [a, b] : [b, a];
  const advantage = slow.rttMs === 0 ? 0 : 100 - Math.floor((100 * fast.rttMs!) / slow.rttMs!);
  const pointsA = kindPoints(a) + (fast === a ? advantage : 0);
  const pointsB = kindPoints(b) + (fast === b ? advantage : 0);
  if (pointsA <= 1 && pointsB === 0) return false;
  return pointsA > pointsB;
}

function kindPoints({ path: { address } }: Candidate): number {
  const kind = addressClass(address.address);
  return (kind === "loopback" ? 50 : kind === "private" ? 20 : 0) + (isIpv4(address.address) ? 0 : 10);
}
