import type { Instant } from "../base/instant.ts";
import { isIpv4 } from "../base/ip.ts";
import { addressClass } from "./address-class.ts";
import type { UdpPath } from "./path.ts";

/** Sample pings whose fate is remembered, for the loss figure. */
const HISTORY = 32;
/** Round trips remembered: the smallest of them is what the path needs without a queue of our own making. */
const ROUND_TRIPS = 8;
/** Loss figures are compared from this many outcomes on. */
const MIN_COMPARED = 8;
/** A path that loses this much more than another one is worse, however fast it is. */
const LOSS_GAP = 0.15;

/** One UDP address where a peer may be, and how it answered so far. */
export class Candidate {
  /** Once a message from there was seen, the same object that such messages carry: see {@link PathTable}. */
  path: UdpPath;
  /** Named in the node message of the coordinator. */
  fromCoordinator = false;
  /** Named in the peer's latest CallMeMaybe. */
  fromCallMeMaybe = false;
  /** A ping of the peer came from there. */
  heardAt: Instant | undefined;
  lastPingAt: Instant | undefined;
  lastPongAt: Instant | undefined;
  rttMs: number | undefined;
  /** Pings of the size that every path must carry, and their answers. */
  pingsSent = 0;
  pongsReceived = 0;
  /** Small pings, not counting opening packets. */
  smallPingsSent = 0;
  /** Answers to small pings: the way is open for packets of some size. */
  smallPongsReceived = 0;
  /** Largest inner packet it was seen to carry beyond what every usable path carries; 0 for unknown. */
  carries = 0;
  #outcomes = 0;
  #outcomeCount = 0;
  readonly #roundTrips = new Float64Array(ROUND_TRIPS).fill(Number.POSITIVE_INFINITY);
  #nextRoundTrip = 0;

  constructor(path: UdpPath) {
    this.path = path;
  }

  recordOutcome(answered: boolean): void {
    this.#outcomes = ((this.#outcomes << 1) | (answered ? 1 : 0)) >>> 0;
    if (this.#outcomeCount < HISTORY) this.#outcomeCount++;
  }

  recordRoundTrip(rttMs: number): void {
    this.rttMs = rttMs;
    this.#roundTrips[this.#nextRoundTrip] = rttMs;
    this.#nextRoundTrip = (this.#nextRoundTrip + 1) % ROUND_TRIPS;
  }

  /** Smallest of the latest round trips; infinite before the first. */
  get minRttMs(): number {
    let min = Number.POSITIVE_INFINITY;
    for (const rtt of this.#roundTrips) if (rtt < min) min = rtt;
    return min;
  }

  /** Sample pings with a verdict, 32 at most. */
  get outcomes(): number {
    return this.#outcomeCount;
  }

  /** Share of the last sample pings (32 at most) that had no answer; undefined before the first verdict. */
  get loss(): number | undefined {
    return this.#outcomeCount === 0 ? undefined : 1 - this.answeredOf(this.#outcomeCount) / this.#outcomeCount;
  }

  /** How many of the last `count` sample pings were answered. */
  answeredOf(count: number): number {
    const mask = count >= 32 ? 0xffffffff : 2 ** count - 1;
    let answered = 0;
    for (let bits = (this.#outcomes & mask) >>> 0; bits !== 0; bits = (bits & (bits - 1)) >>> 0) answered++;
    return answered;
  }

  /** The loss used for comparison; 0 until enough is known. */
  get knownLoss(): number {
    return this.#outcomeCount < MIN_COMPARED ? 0 : this.loss!;
  }
}

/**
 * Whether `a` should take traffic from `b`. A path that loses far less wins. Otherwise the faster one scores its advantage in
 * percent, and paths that are likely to stay cheap and stable score points. Nearly equal paths never alternate.
 */
export function isBetter(a: Candidate, b: Candidate): boolean {
  if (a === b) return false;
  const lossGap = b.knownLoss - a.knownLoss;
  if (Math.abs(lossGap) > LOSS_GAP) return lossGap > 0;
  const [fast, slow] = a.rttMs! <= b.rttMs! ? [a, b] : [b, a];
  const advantage = slow.rttMs === 0 ? 0 : 100 - Math.floor((100 * fast.rttMs!) / slow.rttMs!);
  const pointsA = kindPoints(a) + (fast === a ? advantage : 0);
  const pointsB = kindPoints(b) + (fast === b ? advantage : 0);
  return pointsA > Math.max(pointsB, 1);
}

function kindPoints({ path: { address } }: Candidate): number {
  const kind = addressClass(address.address);
  return (kind === "loopback" ? 50 : kind === "private" ? 20 : 0) + (isIpv4(address.address) ? 0 : 10);
}
