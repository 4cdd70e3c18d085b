import type { Instant } from "../../src/base/instant.ts";
import type { Link } from "../../src/testing/link.ts";

const BETA = 0.7;
const C = 0.4;
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
const REORDER_THRESHOLD = 3;
const MIN_RTO_MS = 200;

interface Sent {
  readonly number: number;
  readonly at: Instant;
}

/**
 * A textbook CUBIC, to share a bottleneck with ours: RFC 9438 with HyStart++ (RFC 9406) or without, a loss for every
 * packet that three later ones overtook, one reduction per round trip, proportional rate reduction (RFC 6937), no pacing,
 * one acknowledgment for two packets. It has no data: packets are numbered, and a lost one is not sent again but counted,
 * which is the same to the bottleneck. Windows are in packets.
 */
export class CubicReference {
  /** Packets that arrived. */
  delivered = 0;
  readonly #link: Link;
  readonly #returnMs: number;
  readonly #packetBytes: number;
  readonly #hystart: boolean;
  readonly #numbers = new WeakMap<Uint8Array, number>();
  #flight: Sent[] = [];
  #next = 0;
  #startAt: Instant;
  readonly #acks: { readonly at: number; readonly numbers: number[] }[] = [];
  #held: number[] = [];
  #cwnd = 10;
  #ssthresh = Number.POSITIVE_INFINITY;
  #wMax = 0;
  #k = 0;
  #wEst = 0;
  #cwndPrior = 0;
  #epochAt: number | undefined;
  #recoverUntil = -1;
  #recovering = false;
  #recoverFlight = 1;
  #prrDelivered = 0;
  #prrOut = 0;
  #srttMs = 0;
  #lastProgressAt: number;
  #roundEnd = 0;
  #roundMinMs = Number.POSITIVE_INFINITY;
  #lastRoundMinMs = Number.POSITIVE_INFINITY;
  #roundSamples = 0;
  #cssBaselineMs = 0;
  #cssRounds = 0;

  constructor(link: Link, returnMs: number, packetBytes: number, hystart: boolean, startAt: Instant) {
    this.#link = link;
    this.#returnMs = returnMs;
    this.#packetBytes = packetBytes;
    this.#hystart = hystart;
    this.#startAt = startAt;
    this.#lastProgressAt = startAt;
  }

  nextEvent(): number {
    const arrival = this.#link.nextTimeout() ?? Number.POSITIVE_INFINITY;
    const ack = this.#acks[0]?.at ?? Number.POSITIVE_INFINITY;
    return Math.min(arrival, ack, this.#next === 0 ? this.#startAt : this.#lastProgressAt + this.#rtoMs);
  }

  step(now: Instant): void {
    for (let packet = this.#link.receive(now); packet !== undefined; packet = this.#link.receive(now)) {
      this.delivered++;
      const number = this.#numbers.get(packet)!;
      const gap = this.#held.length > 0 && number !== this.#held.at(-1)! + 1;
      this.#held.push(number);
      // Gaps are reported at once (RFC 5681 §4.2).
      if (this.#held.length >= 2 || gap) {
        this.#acks.push({ at: now + this.#returnMs, numbers: this.#held });
        this.#held = [];
      }
    }
    while (this.#acks.length > 0 && this.#acks[0]!.at <= now) this.#onAck(this.#acks.shift()!.numbers, now);
    if (this.#next > 0 && now >= this.#lastProgressAt + this.#rtoMs) this.#onTimeout(now);
    if (now >= this.#startAt) this.#fill(now);
  }

  get #rtoMs(): number {
    return this.#srttMs === 0 ? 1000 : this.#srttMs + MIN_RTO_MS;
  }

  #fill(now: Instant): void {
    while (this.#flight.length + 1 <= this.#cwnd) {
      const packet = new Uint8Array(this.#packetBytes);
      this.#numbers.set(packet, this.#next);
      this.#flight.push({ number: this.#next++, at: now });
      if (this.#recovering) this.#prrOut++;
      this.#link.send(packet, now);
    }
  }

  #onAck(numbers: readonly number[], now: Instant): void {
    this.#lastProgressAt = now;
    const largest = numbers.at(-1)!;
    const newest = this.#flight.find((one) => one.number === largest);
    const before = this.#flight.length;
    this.#flight = this.#flight.filter((one) => !numbers.includes(one.number));
    const acked = before - this.#flight.length;
    if (newest !== undefined) this.#sampleRtt(now - newest.at);
    const rttMs = newest === undefined ? this.#srttMs : now - newest.at;
    if (largest >= this.#roundEnd) this.#startRound();

    const known = this.#flight.length;
    this.#flight = this.#flight.filter((one) => one.number > largest - REORDER_THRESHOLD);
    if (this.#recovering && largest > this.#recoverUntil) {
      this.#recovering = false;
      this.#cwnd = this.#ssthresh;
    }
    if (this.#flight.length < known && !this.#recovering) this.#reduce(before);
    if (this.#recovering) this.#reduceProportionally(acked);
    // RFC 9438 §5.8: no growth while the window is not used.
    else if (before + 2 >= this.#cwnd) this.#grow(acked, rttMs, now);
  }

  #sampleRtt(rttMs: number): void {
    this.#srttMs = this.#srttMs === 0 ? rttMs : this.#srttMs + (rttMs - this.#srttMs) / 8;
    this.#roundMinMs = Math.min(this.#roundMinMs, rttMs);
    this.#roundSamples++;
  }

  #startRound(): void {
    this.#roundEnd = this.#next;
    if (this.#cssBaselineMs > 0 && ++this.#cssRounds >= 5 && this.#ssthresh === Number.POSITIVE_INFINITY)
      this.#ssthresh = this.#cwnd;
    this.#lastRoundMinMs = this.#roundMinMs;
    this.#roundMinMs = Number.POSITIVE_INFINITY;
    this.#roundSamples = 0;
  }

  /** RFC 9406 §4.2. @returns the growth of slow start per packet. */
  #slowStartGrowth(): number {
    if (!this.#hystart || this.#ssthresh !== Number.POSITIVE_INFINITY) return 1;
    if (this.#cssBaselineMs > 0) {
      if (this.#roundMinMs < this.#cssBaselineMs) this.#cssBaselineMs = 0;
    } else if (this.#roundSamples >= 8 && this.#lastRoundMinMs < Number.POSITIVE_INFINITY) {
      const threshold = Math.max(4, Math.min(this.#lastRoundMinMs / 8, 16));
      if (this.#roundMinMs >= this.#lastRoundMinMs + threshold) {
        this.#cssBaselineMs = this.#roundMinMs;
        this.#cssRounds = 0;
      }
    }
    return this.#cssBaselineMs > 0 ? 1 / 4 : 1;
  }

  #grow(acked: number, rttMs: number, now: Instant): void {
    if (this.#cwnd < this.#ssthresh) {
      this.#cwnd += acked * this.#slowStartGrowth();
      return;
    }
    if (this.#epochAt === undefined) {
      this.#epochAt = now;
      this.#wEst = this.#cwnd;
      if (this.#cwnd >= this.#wMax) this.#wMax = this.#cwnd;
      this.#k = Math.cbrt((this.#wMax - this.#cwnd) / C);
    }
    this.#wEst += ((this.#wEst >= this.#cwndPrior ? 1 : ALPHA) * acked) / this.#cwnd;
    const t = (now - this.#epochAt) / 1000;
    if (this.#wMax + C * (t - this.#k) ** 3 < this.#wEst) {
      this.#cwnd = Math.max(this.#cwnd, this.#wEst);
      return;
    }
    const ahead = this.#wMax + C * (t + rttMs / 1000 - this.#k) ** 3;
    const target = Math.min(Math.max(ahead, this.#cwnd), 1.5 * this.#cwnd);
    this.#cwnd += ((target - this.#cwnd) / this.#cwnd) * acked;
  }

  #reduce(flight: number): void {
    this.#epochAt = undefined;
    this.#cwndPrior = this.#cwnd;
    this.#wMax = this.#cwnd < this.#wMax ? (this.#cwnd * (1 + BETA)) / 2 : this.#cwnd;
    this.#ssthresh = Math.max(this.#cwnd * BETA, 2);
    this.#recovering = true;
    this.#recoverUntil = this.#next - 1;
    this.#recoverFlight = Math.max(flight, 1);
    this.#prrDelivered = this.#prrOut = 0;
  }

  #reduceProportionally(acked: number): void {
    this.#prrDelivered += acked;
    const flight = this.#flight.length;
    const allowed =
      flight > this.#ssthresh
        ? Math.ceil((this.#prrDelivered * this.#ssthresh) / this.#recoverFlight) - this.#prrOut
        : Math.min(this.#ssthresh - flight, Math.max(this.#prrDelivered - this.#prrOut, acked) + 1);
    this.#cwnd = flight + Math.max(allowed, this.#prrOut === 0 ? 1 : 0);
  }

  #onTimeout(now: Instant): void {
    this.#lastProgressAt = now;
    if (this.#recovering) this.#cwnd = this.#ssthresh;
    this.#reduce(this.#flight.length);
    this.#recovering = false;
    this.#flight = [];
    this.#cwnd = 1;
  }
}
