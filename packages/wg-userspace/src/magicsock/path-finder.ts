/**
 * How the direct path to a peer is found, watched and left (decision 005). The model:
 *
 * **Candidates.** An address at which the peer may be reached, from the coordinator, from a CallMeMaybe, or from a ping of the
 * peer. Each has its own counts, round trips and last pong. The best one that answers is *in use*.
 *
 * **Only pongs count.** A path is used after it answered a full-size probe, and only while it keeps answering. A message that
 * arrives on a path proves nothing about the other direction; it is at most a reason to ask for a pong.
 *
 *     searching ──pong──▶ in use ──silence──▶ suspected ──8 s──▶ searching
 *                           ▲                     │
 *                           └────────pong─────────┘
 *
 * - *Searching*: rounds of probes to all candidates, at growing gaps. Towards public IPv4 addresses the first round sends opening
 *   packets, whose hop limit ends behind our own router: a probe that reaches a router which takes it for its own
 *   traffic spoils the flow for as long as both sides send. The peer is asked by relay to do the same.
 * - *In use*: a heartbeat every second while data flows, one with single messages, and one every 15 s without. A heartbeat
 *   without an answer is repeated.
 * - *Suspected*: after about a second of silence. Traffic goes by relay, and a copy by the silent path in case it still works;
 *   the search starts again. A pong ends the suspicion, 8 s of silence give the path up.
 *
 * **Doubt.** If the peer sends another way than by the path in use, it may have moved. The path then has to answer within a
 * fraction of the usual time. A doubt that was dispelled is raised again only after twice the gap.
 *
 * **Memory.** A path that dies in use again and again is left alone for a growing time ({@link PathFailures}); one that answers
 * but serves worse than the relay does not carry traffic ({@link PathQuality}).
 *
 * **Deadlines.** `heartbeat` beats while the peer is active and stops everything when it is not; `retry` ends the wait for a
 * pong; `round` is the next round of the search; `mtu` the next probe of a larger packet size.
 */
import { addMs, type Instant, instant } from "../base/instant.ts";
import { SegmentTally } from "../base/segment-tally.ts";
import { TimerTable } from "../base/timer-table.ts";
import { DISCO_PADDED_BYTES } from "../disco/message.ts";
import { needsOpening } from "./address-class.ts";
import { type Candidate, isBetter } from "./candidate.ts";
import { CandidateList } from "./candidate-list.ts";
import { CandidateProbes } from "./candidate-probes.ts";
import { Doubt } from "./doubt.ts";
import { MtuSearch } from "./mtu-search.ts";
import type { UdpPath } from "./path.ts";
import { type FailureSummary, PathFailures } from "./path-failures.ts";
import { PathQuality } from "./path-quality.ts";
import { PathUse } from "./path-use.ts";
import { PathWatch } from "./path-watch.ts";
import { FIRST_GAP_MS, SearchRounds, type SearchTurn } from "./search-rounds.ts";

// Candidates.

/** A candidate that answered this recently may be measured although it is not in use. */
const ANSWERED_MS = 45_000;

// Activity: a peer without traffic is not probed at all.

/** A peer is active this long after the last message to it. */
const ACTIVE_MS = 45_000;
/** Data is flowing this long after the last data packet. */
const BUSY_MS = 5_000;
/** This many data packets between two heartbeats are a flow; fewer are a request and its response. */
const FLOW_PACKETS = 8;

// Heartbeats of the path in use.

/** Interval of heartbeats in a flow. Other data is covered by a heartbeat within this time. */
const BUSY_HEARTBEAT_MS = 1_000;
/**
 * A heartbeat that left this shortly before covers data too, so an exchange of two packets costs one. Data lost then is sent
 * again later.
 */
const COVERED_MS = 200;
/**
 * Interval of heartbeats without data. The routers we know of remember a flow for at least 30 s; a dead path is found by what is
 * sent next.
 */
const IDLE_HEARTBEAT_MS = 15_000;
/** The same while the relay is preferred: how the direct path answers decides whether that lasts. */
const COMPARING_HEARTBEAT_MS = 3_000;
/** Pings by relay while the peer is active: traffic moves there when the direct path dies, so it must be ready. */
const RELAY_HEARTBEAT_MS = 25_000;
/** After a pause in traffic, a path whose last pong is older than this is suspected at once. */
const TRUST_MS = 6_500;
/**
 * But if the peer pinged on it this recently, the path only has to answer at once: the peer's heartbeats continue while
 * we rest.
 */
const HEARD_MS = IDLE_HEARTBEAT_MS + 1_000;

// The search: rounds of probes to all candidates.

/** A path in use with a longer round trip than this is worth a round from time to time. */
const GOOD_ENOUGH_MS = 5;
const UPGRADE_MS = 60_000;
/** From this round on small packets are sent as well. */
const FIRST_SMALL_ROUND = 2;
/** While a candidate answered this recently, a search is not stuck. */
const LATELY_MS = 5_000;

type Timer = "retry" | "round" | "mtu";

/** What a finder uses of the disco layer. */
export interface Prober<Owner> {
  /**
   * Sends one disco ping; false when the budget of that address is used up.
   * @param sample The outcome counts for the loss figure of the path.
   */
  probe(
    finder: PathFinder<Owner>,
    candidate: Candidate,
    payloadBytes: number | undefined,
    ttl: number | undefined,
    sample: boolean,
  ): boolean;
  /** Pings through the peer's relay: keeps that connection warm, and its round trip known. False if there is none. */
  pingRelay(finder: PathFinder<Owner>): boolean;
  /** Asks the peer through its relay to probe our endpoints. */
  callMeMaybe(finder: PathFinder<Owner>): void;
  /** The finder's deadline is now `at`; Infinity for never. */
  wakeAt(at: number): void;
  /**
   * The search has found nothing for a while although there is something to find. A router that took early packets for its own
   * traffic stays confused for as long as they come: another local port starts afresh.
   */
  stuck(finder: PathFinder<Owner>): void;
  /** The path in use went silent: what the routers on the way remembered may be gone. */
  suspected(finder: PathFinder<Owner>): void;
  /**
   * {@link PathFinder.carrying}, `spare` or `mtu` changed.
   * @param chosen The path left still works: nothing that is under way is lost.
   */
  pathChanged(finder: PathFinder<Owner>, chosen: boolean): void;
}

/** Finds and keeps the direct path to one peer. Knows nothing of keys or packets: see {@link Prober}. */
export class PathFinder<Owner = unknown> {
  /** The endpoint this finder belongs to; for the prober. */
  readonly owner: Owner;
  readonly #prober: Prober<Owner>;
  readonly #probes: CandidateProbes;
  readonly #candidates = new CandidateList();
  readonly #mtu: MtuSearch;
  readonly #failures = new PathFailures();
  readonly quality = new PathQuality();
  /** Counted by the netstack. */
  readonly tally = new SegmentTally();
  readonly #usage = new PathUse();
  #best: Candidate | undefined;
  readonly #watch = new PathWatch();
  readonly #doubt = new Doubt();
  #lastSentAt = Number.NEGATIVE_INFINITY;
  #lastDataAt = Number.NEGATIVE_INFINITY;
  /** Data packets since the last heartbeat. */
  #dataPackets = 0;
  #flowsUntil = Number.NEGATIVE_INFINITY;
  #relayHeartbeatAt = Number.NEGATIVE_INFINITY;
  readonly #rounds: SearchRounds;
  /** Until this time candidates behind routers get no probe that could arrive: the peer opens its own router first. */
  #holdUntil = Number.NEGATIVE_INFINITY;
  /** Infinity while the peer is inactive. A number of its own beside the table, because every packet compares it. */
  #heartbeatAt = Number.POSITIVE_INFINITY;
  /** When the last heartbeat left. */
  #beatAt = Number.NEGATIVE_INFINITY;
  readonly #timers = new TimerTable<Timer>();
  /** The earliest of the heartbeat and the timers; Infinity if there is none. */
  deadline = Number.POSITIVE_INFINITY;

  /**
   * @param maxMtu Largest inner packet this node can send.
   * @param turn Which of the two sides gives up first; the sides have to differ.
   */
  constructor(owner: Owner, maxMtu: number, turn: SearchTurn, prober: Prober<Owner>) {
    this.owner = owner;
    this.#prober = prober;
    this.#probes = new CandidateProbes((candidate, payloadBytes, ttl, sample) =>
      prober.probe(this, candidate, payloadBytes, ttl, sample),
    );
    this.#rounds = new SearchRounds(turn);
    this.#mtu = new MtuSearch(maxMtu);
  }

  get candidates(): readonly Candidate[] {
    return this.#candidates.all;
  }
  /** The candidate in use or under suspicion. */
  get best(): Candidate | undefined {
    return this.#best;
  }
  /** The path that answers and carries traffic alone, unless the relay serves better. */
  get carrying(): UdpPath | undefined {
    return this.quality.prefersRelay ? undefined : this.trusted;
  }
  /** The path that answers. */
  get trusted(): UdpPath | undefined {
    return this.#watch.isSuspected ? undefined : this.#best?.path;
  }
  /** A path that stopped answering a moment ago: worth a copy of what goes by relay. */
  get spare(): UdpPath | undefined {
    return !this.#watch.isSuspected || this.quality.prefersRelay ? undefined : this.#best?.path;
  }
  /** Largest inner packet for this peer, whichever path it takes now. */
  get mtu(): number {
    return this.#mtu.mtu;
  }
  /** Attempts since the last success. */
  get attempts(): number {
    return this.#rounds.count;
  }

  /** Where the peer answered last, if that is not long ago. */
  lastAnswered(now: Instant): Candidate | undefined {
    return this.#candidates.lastAnswered(now - ANSWERED_MS);
  }

  /** How often the address of a candidate went silent in use; undefined when it never did, or long ago. */
  failuresOf(candidate: Candidate, now: Instant): FailureSummary | undefined {
    return this.#failures.summary(candidate.path.address.address, now);
  }

  /** A message leaves for the peer, by whatever path. Called per packet. */
  noteSent(data: boolean, now: Instant): void {
    this.#lastSentAt = now;
    if (data) {
      this.#lastDataAt = now;
      if (this.#mtu.noteData(++this.#dataPackets, now)) this.#probeMtu(now);
      if (now > this.#beatAt + COVERED_MS) this.#coverData(now);
    }
    if (this.#heartbeatAt === Number.POSITIVE_INFINITY) this.#wakeUp(now);
  }

  /** Data left that the last heartbeat says nothing about. Called per packet. */
  #coverData(now: Instant): void {
    const at = Math.max(now, this.#beatAt + BUSY_HEARTBEAT_MS);
    if (this.#heartbeatAt === Number.POSITIVE_INFINITY || this.#heartbeatAt <= at) return;
    this.#heartbeatAt = at;
    this.#schedule();
  }

  /** Replaces the endpoints that the coordinator names. */
  setCoordinatorEndpoints(paths: readonly UdpPath[], now: Instant): void {
    for (const candidate of this.#candidates.all) candidate.fromCoordinator = false;
    let fresh = false;
    for (const path of paths) {
      const known = this.#candidates.find(path);
      const candidate = known ?? this.#candidates.add(path, this.#best);
      if (candidate === undefined) break;
      candidate.fromCoordinator = true;
      fresh ||= known === undefined;
    }
    this.#candidates.dropUnnamed(this.#best, now);
    if (fresh && this.#isActive(now)) this.#restart(now);
  }

  /** The peer asks to be probed at these endpoints, now. They replace the ones of its earlier call. */
  calledBy(paths: readonly UdpPath[], now: Instant): void {
    for (const candidate of this.#candidates.all) candidate.fromCallMeMaybe = false;
    for (const path of paths) {
      const candidate = this.#candidates.find(path) ?? this.#candidates.add(path, this.#best);
      if (candidate === undefined) break;
      candidate.fromCallMeMaybe = true;
    }
    this.#candidates.dropUnnamed(this.#best, now);
    if (this.#best?.fromCallMeMaybe === false) this.#verify(now);
    // A peer with this implementation opened its router before calling; open ours, then send a probe at once.
    this.#holdUntil = Number.NEGATIVE_INFINITY;
    for (const candidate of this.#candidates.all)
      if (candidate.fromCallMeMaybe && this.#probes.mayPing(candidate, now) && !this.#isHeld(candidate, now)) {
        if (this.trusted === undefined) this.#probes.open(candidate);
        this.#probes.ping(candidate, now);
      }
  }

  /** An authenticated ping of the peer arrived on `path`. */
  pingReceived(path: UdpPath, now: Instant): void {
    const known = this.#candidates.find(path);
    const candidate = known ?? this.#candidates.add(path, this.#best, true);
    if (candidate === undefined) return;
    candidate.heardAt = now;
    if (known === undefined) this.#verify(now); // the peer is somewhere new
    // What came through shows that the way is open: answer with a probe of our own instead of waiting for the next round.
    const isUseful =
      (this.trusted === undefined || candidate.lastPongAt === undefined) && !this.#isHeld(candidate, now);
    if (isUseful && this.#probes.mayAnswer(candidate, now)) this.#probes.ping(candidate, now);
  }

  /**
   * A pong answers a ping to `candidate`.
   * @param payloadBytes Length of that ping.
   * @param sample It was sent as one, see {@link Prober.probe}.
   */
  pongReceived(candidate: Candidate, rttMs: number, payloadBytes: number, sample: boolean, now: Instant): void {
    if (!this.#candidates.all.includes(candidate)) return;
    if (payloadBytes < DISCO_PADDED_BYTES) {
      candidate.smallPongsReceived++;
      // An opening packet that arrived shows an open way, but proves nothing about full-size packets.
      if (this.trusted === undefined && this.#probes.mayPing(candidate, now)) this.#probes.ping(candidate, now);
      return;
    }
    candidate.lastPongAt = now;
    candidate.recordRoundTrip(rttMs);
    candidate.pongsReceived++;
    if (sample) candidate.recordOutcome(true);
    const best = this.#best;
    if (candidate === best) {
      this.#usage.ponged(candidate);
      this.quality.directPong(rttMs, now);
      this.#confirmed(payloadBytes, now);
    } else if (this.#isHeld(candidate, now)) return;
    else if (best === undefined || this.#watch.isSuspected || isBetter(candidate, best)) this.#use(candidate, now);
    this.#schedule();
  }

  /** A sample ping to `candidate` was not answered in time. */
  sampleLost(candidate: Candidate, payloadBytes: number, sentAt: Instant): void {
    // Counts loss of a working path only, not the silence of a dead one or of one that is too narrow.
    const lived = candidate === this.#best && !this.#watch.isSuspected && sentAt >= this.#usage.since;
    if (lived && this.#mtu.isOrdinary(payloadBytes)) candidate.recordOutcome(false);
  }

  /** The peer answered a ping through its relay. */
  relayPong(rttMs: number, now: Instant): void {
    this.quality.relayPong(rttMs, now);
    this.#countFailure(now);
  }

  /** The peer is reached by another relay. */
  relayChanged(): void {
    const before = this.carrying;
    this.quality.relayChanged();
    if (this.carrying !== before) this.#prober.pathChanged(this, true);
  }

  /**
   * The peer sent a message another way than by the path in use: it may have moved, or lost the path before we noticed.
   * Called per packet.
   */
  doubt(now: Instant): void {
    if (!this.#doubt.reason(this.#sinceLastPong(now), now) || this.#watch.isDoubted) return;
    if (this.#best === undefined || this.#watch.isSuspected || !this.#probes.mayPing(this.#best, now)) return;
    this.#doubt.raised(now);
    this.#verify(now);
  }

  /** Puts the path in use in doubt: it has to answer within a fraction of the usual time. */
  #verify(now: Instant): void {
    const best = this.#best;
    if (best === undefined || this.#watch.isSuspected || this.#watch.isDoubted) return;
    this.#watch.doubt(now);
    this.#probes.ping(best, now);
    this.#timers.setEarlier("retry", this.#watch.suspectAt(best.rttMs ?? 0));
    this.#schedule();
  }

  /**
   * The local network changed.
   * @param moved We lost an address or slept: packets on the old path would now be strays to the peer's router. Otherwise
   * something was added, and the path in use is only asked for a sign of life.
   */
  networkChanged(moved: boolean, now: Instant): void {
    for (const candidate of this.#candidates.all) {
      candidate.lastPingAt = undefined;
      if (moved) candidate.heardAt = undefined;
    }
    if (!moved) this.#verify(now);
    else {
      this.#failures.clear();
      this.quality.reset();
      if (this.#best !== undefined) this.#giveUp(now);
    }
    if (this.#isActive(now)) this.#restart(now);
  }

  /** Our UDP port changed: every path is new to the routers, but leads through the same network. */
  portChanged(now: Instant): void {
    for (const candidate of this.#candidates.all) candidate.lastPingAt = candidate.heardAt = undefined;
    if (this.#best !== undefined) this.#giveUp(now);
    if (this.#isActive(now)) this.#restart(now);
  }

  handleTimeout(now: Instant): void {
    if (now >= this.#heartbeatAt) this.#beat(now);
    if (this.#timers.isDue("retry", now)) this.#retry(now);
    if (this.#timers.isDue("round", now)) this.#tryAgain(now);
    if (this.#timers.isDue("mtu", now)) this.#probeMtu(now);
    this.#schedule();
  }

  #isActive(now: Instant): boolean {
    return now - this.#lastSentAt < ACTIVE_MS;
  }

  #sinceLastPong(now: Instant): number {
    return now - (this.#best?.lastPongAt ?? Number.NEGATIVE_INFINITY);
  }

  /** First message after a pause. */
  #wakeUp(now: Instant): void {
    this.#heartbeatAt = now;
    this.#schedule();
    const best = this.#best;
    if (best === undefined) this.#restart(now);
    else if (this.#sinceLastPong(now) <= TRUST_MS || this.#watch.isSuspected) return;
    else if (best.heardAt === undefined || now - best.heardAt >= HEARD_MS) this.#suspect(now);
    else {
      this.#beatAt = now;
      this.#heartbeatAt = addMs(now, IDLE_HEARTBEAT_MS);
      this.#verify(now);
    }
  }

  /** Begins the search with its first round. */
  #restart(now: Instant): void {
    this.#rounds.reset();
    this.#timers.set("round", now);
    this.#schedule();
  }

  #beat(now: Instant): void {
    if (!this.#isActive(now)) {
      this.#heartbeatAt = Number.POSITIVE_INFINITY;
      this.#timers.clearAll();
      return;
    }
    const busy = now - this.#lastDataAt < BUSY_MS;
    if (this.#dataPackets >= FLOW_PACKETS) this.#flowsUntil = now + BUSY_MS;
    this.#dataPackets = 0;
    const flows = now < this.#flowsUntil;
    this.#beatAt = now;
    this.#heartbeatAt = addMs(now, flows ? BUSY_HEARTBEAT_MS : IDLE_HEARTBEAT_MS);
    this.#candidates.expire(this.#best, now);
    if (now >= this.#relayHeartbeatAt || this.quality.wantsRelayPing(now, busy)) this.#pingRelay(now);
    const best = this.#best;
    if (best === undefined) {
      if (!this.#timers.has("round")) this.#timers.set("round", now);
      return;
    }
    if (this.trusted !== undefined && this.quality.beat(this.tally, now)) {
      // Before traffic stays on the relay: another direct path may be better than this one.
      if (this.quality.prefersRelay) this.#restart(now);
      this.#prober.pathChanged(this, true);
    }
    if (this.quality.prefersRelay && !flows) this.#heartbeatAt = addMs(now, COMPARING_HEARTBEAT_MS);
    this.#probes.ping(best, now, this.#mtu.beatBytes(flows), !this.#watch.isSuspected);
    this.#watch.beat(now);
    this.#timers.setEarlier("retry", this.#watch.firstRetryAt(best.rttMs ?? 0, now));
    if (best.rttMs !== undefined && best.rttMs > GOOD_ENOUGH_MS && this.#rounds.sinceLastMs(now) >= UPGRADE_MS) {
      this.#rounds.reset();
      this.#timers.set("round", now);
    }
  }

  /** No pong followed the last confirmation ping soon enough. */
  #retry(now: Instant): void {
    this.#timers.clear("retry");
    const best = this.#best;
    const watch = this.#watch;
    if (best === undefined || watch.unansweredSince === undefined) return;
    const roundTripMs = best.rttMs ?? 0;
    if (!watch.isSuspected && now >= watch.suspectAt(roundTripMs)) {
      if (!this.quality.prefersRelay) this.#usage.failed(watch.unansweredSince);
      this.#suspect(now);
    }
    if (watch.isLost(now)) {
      this.#giveUp(now);
      return;
    }
    // Of the size that every path must carry: a path that only lost its larger packets answers this one.
    if (this.#probes.ping(best, now)) watch.repeated();
    this.#timers.set("retry", watch.nextRetryAt(roundTripMs, now));
    if (!watch.isSuspected) this.#timers.setEarlier("retry", watch.suspectAt(roundTripMs));
  }

  #confirmed(payloadBytes: number, now: Instant): void {
    const recovered = this.#watch.answered();
    this.#timers.clear("retry");
    const mtuChanged = this.#mtu.answered(payloadBytes, now);
    this.#best!.carries = this.#mtu.confirmed;
    this.#timers.set("mtu", this.#mtu.nextProbeAt);
    if (recovered) {
      this.#usage.begin(this.#best!, now);
      this.quality.pathChanged(this.#best!, this.tally, now);
      this.#settled();
    }
    if (recovered || mtuChanged) this.#prober.pathChanged(this, false);
  }

  #use(candidate: Candidate, now: Instant): void {
    this.#best = candidate;
    this.#usage.begin(candidate, now);
    this.quality.pathChanged(candidate, this.tally, now);
    this.#watch.reset();
    this.#timers.clear("retry");
    this.#mtu.pathChanged(candidate.carries, now);
    this.#timers.set("mtu", this.#mtu.nextProbeAt);
    this.#settled();
    this.#prober.pathChanged(this, false);
  }

  /** A path works: one more round soon, in case a better one answers late, then rest. */
  #settled(): void {
    this.#rounds.reset();
    this.#timers.clear("round");
  }

  #suspect(now: Instant): void {
    this.#watch.suspect(now);
    this.#timers.setEarlier("retry", this.#watch.firstRetryAt(0, now));
    this.#rounds.reset();
    this.#timers.set("round", now);
    this.#schedule();
    this.#prober.pathChanged(this, false);
    this.#prober.suspected(this);
    // Asks whether the peer is there at all; if not, the path is not to blame for the silence.
    if (this.#usage.mayHaveFailed) this.#pingRelay(now);
  }

  /** The path in question is silent and the peer is there: remember it. */
  #countFailure(now: Instant): void {
    const best = this.#best;
    if (!this.#watch.isSuspected || best === undefined) return;
    const life = this.#usage.takeFailure();
    if (life === undefined) return;
    this.#failures.add(best.path.address.address, life, now);
    if (this.#isHeld(best, now)) this.#giveUp(now);
    this.#schedule();
  }

  #isHeld(candidate: Candidate, now: Instant): boolean {
    return now < this.#failures.heldUntil(candidate.path.address.address, now);
  }

  #pingRelay(now: Instant): void {
    this.#relayHeartbeatAt = addMs(now, RELAY_HEARTBEAT_MS);
    if (this.#prober.pingRelay(this)) this.quality.relayPinged(now);
  }

  #giveUp(now: Instant): void {
    this.#best = undefined;
    this.#watch.reset();
    this.#timers.clear("mtu");
    this.#usage.end();
    if (!this.#timers.has("round")) this.#timers.set("round", now);
    this.#prober.pathChanged(this, false);
  }

  /** One round of the search: probe every candidate, and have the peer do the same. */
  #tryAgain(now: Instant): void {
    const round = this.#rounds.begin(now);
    this.#timers.set(
      "round",
      this.trusted === undefined && this.#isActive(now) ? addMs(now, this.#rounds.gapMs(round)) : undefined,
    );
    if (round === 0 && this.trusted === undefined) this.#holdUntil = now + FIRST_GAP_MS;
    let heldUntil = Number.POSITIVE_INFINITY;
    let free = 0;
    for (const candidate of this.#candidates.all) {
      if (this.#isHeld(candidate, now)) {
        heldUntil = Math.min(heldUntil, this.#failures.heldUntil(candidate.path.address.address, now));
        continue;
      }
      free++;
      if (round >= FIRST_SMALL_ROUND) this.#probes.small(candidate);
      if (!this.#probes.mayPing(candidate, now)) continue;
      if (now < this.#holdUntil && candidate.heardAt === undefined && needsOpening(candidate.path.address.address))
        this.#probes.open(candidate);
      else this.#probes.ping(candidate, now);
    }
    if (free === 0 && this.#candidates.all.length > 0) {
      // There is nothing to look for before one of them may be used again.
      this.#rounds.reset();
      if (this.#timers.has("round")) this.#timers.set("round", instant(heldUntil));
      return;
    }
    // The second round follows so closely that the peer is still busy with the first request.
    if (round !== 1) this.#prober.callMeMaybe(this);
    if (this.#rounds.isStuck(round) && this.trusted === undefined && this.#neverAnswers(now)) this.#prober.stuck(this);
  }

  /** There are candidates, and none answered lately: not even by chance, as on a path that loses many packets. */
  #neverAnswers(now: Instant): boolean {
    const answered = ({ lastPongAt }: Candidate): boolean => lastPongAt !== undefined && now - lastPongAt < LATELY_MS;
    return this.#candidates.all.length > 0 && !this.#candidates.all.some(answered);
  }

  #probeMtu(now: Instant): void {
    this.#timers.clear("mtu"); // the next pong of a trusted path arms it again
    if (this.trusted === undefined) return;
    const bytes = this.#mtu.probe(now);
    this.#timers.set("mtu", this.#mtu.nextProbeAt);
    if (bytes !== undefined) this.#probes.size(this.#best!, bytes);
    this.#schedule();
  }

  #schedule(): void {
    this.deadline = Math.min(this.#heartbeatAt, this.#timers.next() ?? Number.POSITIVE_INFINITY);
    this.#prober.wakeAt(this.deadline);
  }
}
