import type { Instant } from "../../base/instant.ts";
import type { SegmentTally } from "../../base/segment-tally.ts";
import type { TcpSegment } from "../wire/tcp.ts";
import { type CongestionController, INITIAL_WINDOW_SEGMENTS, type LossContext } from "./congestion.ts";
import { Cubic } from "./cubic.ts";
import type { TcpDefaults } from "./options.ts";
import { Pacer } from "./pacer.ts";
import { PathMeasurements } from "./path-measurements.ts";
import { ProportionalReduction } from "./proportional-reduction.ts";
import { Reno } from "./reno.ts";
import { ReorderWindow } from "./reorder-window.ts";
import type { RttEstimator } from "./rtt.ts";
import { Scoreboard } from "./scoreboard.ts";
import type { SendBuffer } from "./send-buffer.ts";
import { positionOf } from "./seq.ts";
import { SpuriousRecovery } from "./spurious-recovery.ts";
import { PACE, PERSIST, REORDER, RETRANSMIT, TAIL_PROBE, type TcpTimers } from "./timers.ts";

/** RFC 8985 §7.2: a lone segment may be waiting for the peer's delayed acknowledgment. */
const PROBE_ACK_DELAY_MS = 50;
const DUPLICATE_THRESHOLD = 3;
/** After more timeouts than this the path may have changed: restoring the earlier window is no longer useful. */
const MAX_UNDONE_TIMEOUTS = 2;

export const PLAN_NONE = 0;
export const PLAN_NEW = 1;
export const PLAN_RETRANSMIT = 2;

/**
 * The sending half of a connection: what to send when. RACK-TLP loss detection (RFC 8985), proportional rate reduction
 * (RFC 6937), retransmission timeouts (RFC 6298) with Eifel detection of spurious ones (RFC 3522), the congestion
 * controller, silly-window avoidance and window probes. It writes no packets: the connection calls plan(), emits, and
 * confirms with sent().
 */
export class Sender {
  readonly buffer: SendBuffer;
  readonly board = new Scoreboard();
  readonly rtt: RttEstimator;
  readonly controller: CongestionController;
  readonly #timers: TcpTimers;
  readonly iss: number;
  readonly #nagle: boolean;
  readonly #userTimeoutMs: number;

  /** First unacknowledged position, and the next to send. */
  una = 0;
  next = 0;
  /** Position of our FIN once end() was called; -1 before. */
  finPosition = -1;
  /** The handshake is over: data may be sent. */
  synchronized = false;
  /** Peer's window in bytes, and the largest it ever was. */
  window = 0;
  maxWindow = 0;
  windowScale = 0;
  sackPermitted = false;
  mss: number;
  #windowSeq = -1;
  #windowAck = -1;

  // Positions of the planned segment.
  planStart = 0;
  planEnd = 0;
  #planIndex = -1;

  #mode: "open" | "recovery" | "loss" = "open";
  /** Recovery ends when everything sent before it began is acknowledged. */
  #recoverPoint = 0;
  readonly #reduction = new ProportionalReduction();

  /** Send the left edge regardless of the window: after a timeout or a change of path. */
  #forceFirst = false;
  #forceTail = false;
  #forceSmall = false;
  /** A zero-window probe is due. */
  probeDue = false;
  #persistBackoff = 0;
  #tailProbeEnd = -1;
  #tailProbeIsRetransmission = false;

  readonly #reorderWindow = new ReorderWindow();

  readonly #spurious = new SpuriousRecovery();
  #timeoutUna = -1;
  /** Timeouts since the last progress. */
  timeouts = 0;
  /** Since when nothing has been acknowledged while data is outstanding. */
  #stalledSince = 0;

  #roundEnd = 0;
  #cwndLimitedAt = -1;
  readonly #pacer = new Pacer();
  #lastSendAt = 0;
  /** The tally of the peer at the other end. */
  tally: SegmentTally;
  readonly #path: PathMeasurements;

  /** Segments sent more than once. */
  retransmits = 0;
  spuriousRecoveries = 0;

  constructor(
    iss: number,
    mss: number,
    buffer: SendBuffer,
    timers: TcpTimers,
    defaults: TcpDefaults,
    tally: SegmentTally,
    options: { readonly nagle: boolean; readonly userTimeoutMs: number },
  ) {
    this.iss = iss;
    this.tally = tally;
    this.mss = mss;
    this.buffer = buffer;
    this.#timers = timers;
    this.#nagle = options.nagle;
    this.#userTimeoutMs = options.userTimeoutMs;
    this.#path = new PathMeasurements(defaults.maxRtoMs);
    this.rtt = this.#path.rtt;
    this.controller =
      defaults.congestion === "reno" ? new Reno(mss) : new Cubic(mss, defaults.congestion === "cubic-strict");
  }

  /** Bytes the congestion controller allows in flight. */
  get cwnd(): number {
    return this.#mode === "recovery" ? this.#reduction.cwnd : this.controller.cwnd;
  }
  get mode(): "open" | "recovery" | "loss" {
    return this.#mode;
  }
  /** Everything up to our FIN was acknowledged. */
  get finAcknowledged(): boolean {
    return this.finPosition >= 0 && this.una > this.finPosition;
  }

  /** Decides what to send next and puts it into planStart and planEnd. */
  plan(now: Instant): number {
    const { board } = this;
    if (this.#forceFirst) {
      if (!board.empty) return this.#planRetransmit(board.first);
      this.#forceFirst = false;
    }
    if (this.#forceTail) {
      if (!board.empty) {
        const plan = this.#planNew(now, true);
        return plan === PLAN_NONE ? this.#planRetransmit(board.last) : plan;
      }
      this.#forceTail = false;
    }
    if (this.#pacer.mustWait(now)) {
      if (this.#hasUnsent() || board.hasLost) this.#timers.set(PACE, this.#pacer.dueAt);
      return PLAN_NONE;
    }
    if (board.hasLost) {
      const index = board.nextLost();
      if (board.inFlight > 0 && board.inFlight + board.end(index) - board.start(index) > this.cwnd) return PLAN_NONE;
      return this.#planRetransmit(index);
    }
    return this.#planNew(now, false);
  }

  /** The planned segment was handed to the output. */
  sent(plan: number, now: Instant): void {
    const { board } = this;
    const wasTail = this.#forceTail;
    this.tally.sent++;
    if (plan === PLAN_NEW) {
      if (board.empty) this.#stalledSince = now;
      board.append(this.planStart, this.planEnd, now);
      this.next = this.planEnd;
      this.#forceSmall = false;
      this.#timers.clear(PERSIST);
    } else {
      const conclusive = this.planStart === this.una && !board.wasRetransmitted(this.#planIndex);
      this.#spurious.onRetransmit(now, conclusive, this.#mode !== "open");
      board.retransmitted(this.#planIndex, now);
      this.retransmits++;
      this.tally.resent++;
    }
    this.#pace(this.planEnd - this.planStart, now);
    if (this.#forceFirst) this.#forceFirst = false;
    else if (wasTail) {
      this.#forceTail = false;
      this.#tailProbeEnd = this.next;
      this.#tailProbeIsRetransmission = plan === PLAN_RETRANSMIT;
    }
    if (this.#mode === "recovery") this.#reduction.onSent(this.planEnd - this.planStart);
    this.#lastSendAt = now;
    if (!this.#timers.armed(RETRANSMIT)) this.#armRetransmit(now);
    if (!wasTail) this.#armTailProbe(now);
  }

  /**
   * Processes the acknowledgment of an acceptable segment.
   * @param ack Position; between una - maxWindow and next.
   * @param seqPosition Of the segment, for the window update rule.
   * @param echoedAt When the timestamp it echoes was made; -1 without.
   */
  handleAck(segment: TcpSegment, ack: number, seqPosition: number, echoedAt: number, now: Instant): void {
    // A reordered acknowledgment carries nothing new but its SACK blocks, which a later one may not repeat.
    if (ack < this.una && segment.sackCount === 0) return;
    const { board, controller } = this;
    const path = this.#path;
    const before = this.una;
    const flightBefore = board.inFlight;
    const advanced = ack > before;
    board.beginAck();
    if (advanced) {
      board.acknowledge(ack, now, echoedAt, this.#path.minRttMs);
      this.una = ack;
      this.buffer.release(Math.min(ack, this.buffer.end));
      this.#stalledSince = now;
      if (this.timeouts > MAX_UNDONE_TIMEOUTS) this.#spurious.forbid();
      this.timeouts = 0;
      path.rtt.backoff = 0;
    }
    const dsack = segment.sackCount > 0 && this.sackPermitted && this.#applySack(segment, ack, now, echoedAt);
    this.#updateWindow(segment, ack, seqPosition, now);

    if (board.delivered > 0 || advanced) {
      this.tally.delivered += board.delivered;
      this.#takeRttSample(echoedAt, flightBefore, now);
      path.onDelivered(board.delivered, controller.cwnd, this.mss, now);
    }
    if (ack >= this.#roundEnd && board.delivered > 0) {
      this.#roundEnd = this.next;
      path.onRoundStart();
      controller.onRoundStart(now);
    }
    if (dsack) {
      this.#reorderWindow.widen(this.una, this.next);
      path.onNeedless(this.mss);
      this.tally.resent--;
      if (this.#spurious.onDsack()) this.#undo(now);
    }
    if (advanced && this.#mode !== "open") {
      const nothingLost = !board.hasLost && this.#mode === "recovery";
      if (this.#spurious.onAck(echoedAt, nothingLost)) this.#undo(now);
    }
    if (board.delivered > 0) this.#detectLosses(now);
    if (this.#tailProbeEnd >= 0 && ack >= this.#tailProbeEnd) this.#endTailProbe(ack, dsack, now);
    this.#afterAck(before, flightBefore, advanced, now);
    this.#armAfterAck(advanced, now);
  }

  /** RFC 6298 §5.4 to 5.7. @returns false when the user timeout is over. */
  onRetransmitTimeout(now: Instant): boolean {
    const { board, rtt, controller } = this;
    if (board.empty) return true;
    if (now - this.#stalledSince >= this.#userTimeoutMs) return false;
    // Only the first timeout for the same data reduces ssthresh (RFC 5681 §3.1 (4)).
    if (this.synchronized && (this.#mode !== "loss" || this.una > this.#timeoutUna)) {
      this.#mode = "loss";
      controller.onTimeout(this.#lossContext(), now);
      this.#beginEpisode();
    }
    this.#recoverPoint = this.next;
    this.#timeoutUna = this.una;
    this.timeouts++;
    rtt.backoff++;
    board.beginAck();
    board.markLostOnTimeout(now, board.rackRttMs + this.reorderWindowMs);
    this.#path.onLost(board.newlyLost);
    this.#forceFirst = true;
    this.#forceTail = false;
    this.#tailProbeEnd = -1;
    this.#timers.clear(TAIL_PROBE);
    this.#timers.clear(REORDER);
    this.#armRetransmit(now);
    return true;
  }

  /** RFC 8985 §7.3. */
  onTailProbeTimeout(now: Instant): void {
    if (this.board.empty || this.#tailProbeEnd >= 0) return;
    this.#forceTail = true;
    this.#armRetransmit(now);
  }

  onReorderTimeout(now: Instant): void {
    this.board.beginAck();
    this.#detectLosses(now);
    this.#armAfterAck(false, now);
  }

  /** @returns false when the user timeout is over. */
  onPersistTimeout(now: Instant): boolean {
    if (!this.board.empty || !this.#hasUnsent()) return true;
    if (now - this.#stalledSince >= this.#userTimeoutMs) return false;
    this.#persistBackoff++;
    if (this.una + this.window > this.next) this.#forceSmall = true;
    else this.probeDue = true;
    this.#armPersist(now);
    return true;
  }

  /**
   * New segments take another path; those in flight still arrive by the old one, possibly after their successors. The
   * known window, rate and round trip are those of the old path.
   */
  moved(now: Instant): void {
    this.#path.moved();
    if (this.synchronized) this.controller.reset(now);
    this.#spurious.forbid();
    if (this.#mode === "recovery") this.#mode = "open";
  }

  /** The path works again or has changed: send at once instead of waiting for a backed-off timer. */
  retransmitNow(now: Instant, pathChanged: boolean): void {
    this.rtt.backoff = 0;
    this.#persistBackoff = 0;
    if (pathChanged) {
      this.board.rackRttMs = 0;
      this.board.largestDelivered = 0;
      this.moved(now);
    }
    if (!this.board.empty) {
      // The answer to this one segment lets RACK find everything else that was lost, one round trip from now.
      this.#forceFirst = true;
      this.#timers.clear(TAIL_PROBE);
      this.#armRetransmit(now);
    } else if (this.#timers.armed(PERSIST)) {
      this.probeDue = true;
      this.#armPersist(now);
    }
  }

  /** The path carries this much per segment: less, or more, than assumed. */
  setMss(mss: number, lost = false): void {
    if (mss === this.mss) return;
    if (mss < this.mss) {
      if (lost) this.board.markLongerLost(mss);
      this.board.splitLongerThan(mss);
      if (lost && this.board.hasLost) this.#forceFirst = true;
    }
    this.mss = mss;
    this.controller.setMss(mss);
  }

  /** The handshake's segments count as the first window update. Scale and MSS are set by the caller. */
  startWindow(window: number, seqPosition: number): void {
    this.window = this.maxWindow = window;
    this.#windowSeq = seqPosition;
    this.#windowAck = 0;
  }

  /** The peer answered in any way: it is alive. */
  peerAlive(now: Instant): void {
    if (this.board.empty) this.#stalledSince = now;
  }

  #planRetransmit(index: number): number {
    this.#planIndex = index;
    this.planStart = this.board.start(index);
    this.planEnd = this.board.end(index);
    return PLAN_RETRANSMIT;
  }

  #planNew(now: Instant, ignoreCwnd: boolean): number {
    const { board, buffer, next } = this;
    this.planStart = next;
    if (!this.synchronized) {
      this.planEnd = 1;
      return next === 0 ? PLAN_NEW : PLAN_NONE;
    }
    if (!this.#hasUnsent()) return PLAN_NONE;
    if (board.empty && next > 1) this.#restartAfterIdle(now);
    const usable = this.una + this.window - next;
    const available = buffer.end - next;
    let length = Math.min(available, this.mss);
    if (length > usable) length = Math.max(usable, 0);
    const fin = this.finPosition >= 0 && length === available && usable > length;
    if (length === 0 && !fin) {
      if (board.empty && !this.#timers.armed(PERSIST)) this.#startPersist(now);
      return PLAN_NONE;
    }
    if (length < this.mss && !fin && !this.#forceSmall) {
      if (length === available) {
        if (this.#nagle && !board.empty && !ignoreCwnd) return PLAN_NONE;
      } else if (length < this.maxWindow / 2) {
        // Silly window avoidance (RFC 1122 §4.2.3.4): the peer will open more.
        if (board.empty && !this.#timers.armed(PERSIST)) this.#startPersist(now);
        return PLAN_NONE;
      }
    }
    if (!ignoreCwnd && board.inFlight > 0 && board.inFlight + length > this.cwnd) {
      this.#cwndLimitedAt = next;
      this.tally.limitedAt = now;
      return PLAN_NONE;
    }
    this.planEnd = next + length + (fin ? 1 : 0);
    return PLAN_NEW;
  }

  /** The initial window is not paced: nothing is known of the path, and ten segments overflow no queue. */
  #pace(length: number, now: Instant): void {
    if (this.next <= INITIAL_WINDOW_SEGMENTS * this.mss) return;
    const { controller } = this;
    const slowStart = controller.cwnd < controller.ssthresh;
    this.#pacer.onSent(length, Math.max(this.cwnd, this.mss), slowStart, this.rtt.srttMs, now);
  }

  #hasUnsent(): boolean {
    return this.next < this.buffer.end || (this.finPosition >= 0 && this.next <= this.finPosition);
  }

  #restartAfterIdle(now: Instant): void {
    const idleMs = now - this.#lastSendAt;
    const rtoMs = this.rtt.rtoMs;
    if (idleMs < rtoMs) return;
    this.controller.onIdle(idleMs, rtoMs, now);
    this.#lastSendAt = now;
  }

  #applySack(segment: TcpSegment, ack: number, now: Instant, echoedAt: number): boolean {
    const { board } = this;
    let dsack = false;
    let firstLeft = 0;
    let firstRight = 0;
    for (let i = 0; i < segment.sackCount; i++) {
      const left = positionOf(this.iss, segment.sackEdges[2 * i]!, ack);
      const right = positionOf(this.iss, segment.sackEdges[2 * i + 1]!, ack);
      if (left >= right || right > this.next) continue;
      if (i === 0) {
        firstLeft = left;
        firstRight = right;
      }
      // RFC 2883 §4: a duplicate is reported below the acknowledgment, or inside the second block.
      if (right <= ack) {
        if (i === 0) dsack = true;
        continue;
      }
      if (right <= this.una) continue;
      if (i === 1 && firstRight > firstLeft && firstLeft >= left && firstRight <= right) dsack = true;
      board.addSackBlock(Math.max(left, this.una), right);
    }
    board.applySack(now, echoedAt, this.#path.minRttMs);
    return dsack;
  }

  /** RFC 9293 §3.10.7.4, fifth: only a newer segment may change the window. */
  #updateWindow(segment: TcpSegment, ack: number, seqPosition: number, now: Instant): void {
    if (seqPosition < this.#windowSeq || (seqPosition === this.#windowSeq && ack < this.#windowAck)) return;
    const window = segment.window << this.windowScale; // at most 65535 << 14
    if (window > this.window || ack > this.#windowAck) this.#persistBackoff = 0;
    this.window = window;
    if (window > this.maxWindow) this.maxWindow = window;
    this.#windowSeq = seqPosition;
    this.#windowAck = ack;
    if (window > 0 && this.#timers.armed(PERSIST)) this.#timers.clear(PERSIST); // plan() arms it again if needed
    this.peerAlive(now);
  }

  /**
   * Karn's rule: when a retransmission was acknowledged only the echoed timestamp shows which copy was answered, and
   * then only if it is the last one. Data sent before an outage and acknowledged after it is no measure of the path.
   */
  #takeRttSample(echoedAt: number, flight: number, now: Instant): void {
    const { board } = this;
    let sentAt = board.cleanSentAt;
    if (board.retransmittedSentAt >= 0) {
      sentAt = board.retransmittedSentAt;
      if (echoedAt < Math.floor(sentAt)) return;
    }
    if (sentAt < 0) return;
    this.#path.onRtt(now - sentAt, flight / (2 * this.mss));
  }

  #detectLosses(now: Instant): void {
    const { board } = this;
    this.#timers.clear(REORDER);
    const waitMs = board.detectLosses(now, this.reorderWindowMs);
    if (waitMs >= 0) this.#timers.set(REORDER, now + waitMs);
    if (board.newlyLost === 0) return;
    this.#path.onLost(board.newlyLost);
    if (this.#mode !== "open") return;
    this.#path.onFirstLoss();
    this.#respondToLoss(now);
  }

  #respondToLoss(now: Instant): void {
    if (!this.controller.onLoss(this.#lossContext(), now)) return;
    this.#mode = "recovery";
    this.#recoverPoint = this.next;
    this.#reduction.begin(this.next - this.una, this.board.inFlight, this.mss);
    this.#beginEpisode();
  }

  #lossContext(): LossContext {
    return this.#path.lossContext(this.board.inFlight, this.controller.cwnd, this.mss);
  }

  #beginEpisode(): void {
    this.#spurious.begin();
    this.#tailProbeEnd = -1;
    this.#forceTail = false;
  }

  #undo(now: Instant): void {
    this.spuriousRecoveries++;
    this.controller.undo(now);
    this.board.restoreLost();
    this.board.reorderingSeen = true;
    this.#forceFirst = false;
    this.#mode = "open";
    this.#spurious.forbid();
  }

  /** RFC 8985 §6.2 step 4. */
  get reorderWindowMs(): number {
    const { board } = this;
    if (!board.reorderingSeen && (this.#mode !== "open" || board.sackedCount >= DUPLICATE_THRESHOLD)) return 0;
    return this.#reorderWindow.lengthMs(this.#path.minRttMs, this.rtt.srttMs);
  }

  /** RFC 8985 §7.4.2. */
  #endTailProbe(ack: number, dsack: boolean, now: Instant): void {
    const repairedLoss = this.#tailProbeIsRetransmission && !dsack && ack > this.#tailProbeEnd;
    // An exact acknowledgment with nothing else outstanding leaves open which copy arrived: assume the original.
    this.#tailProbeEnd = -1;
    if (repairedLoss && this.#mode === "open") this.#respondToLoss(now);
  }

  #afterAck(unaBefore: number, flightBefore: number, advanced: boolean, now: Instant): void {
    const { board, controller } = this;
    if (this.#mode !== "open" && this.una >= this.#recoverPoint) {
      if (this.#mode === "recovery") controller.onRecovered(now);
      this.#mode = "open";
      this.#path.onRecovered();
      this.#reorderWindow.onRecovered();
    }
    if (this.#mode === "recovery") {
      const progress = advanced && board.newlyLost === 0;
      this.#reduction.onAck(board.delivered, board.inFlight, controller.ssthresh, this.mss, progress);
      return;
    }
    if (board.delivered === 0) return;
    // RFC 7661: an unused window has proved nothing.
    const limited =
      this.#cwndLimitedAt >= unaBefore ||
      (controller.cwnd < controller.ssthresh && 2 * flightBefore >= controller.cwnd);
    if (limited) controller.onAck(board.delivered, this.rtt.latestMs, now);
  }

  #armAfterAck(advanced: boolean, now: Instant): void {
    const timers = this.#timers;
    if (this.board.empty) {
      timers.clear(RETRANSMIT);
      timers.clear(TAIL_PROBE);
      timers.clear(REORDER);
      return;
    }
    if (advanced || this.board.newlySacked > 0) this.#armRetransmit(now);
    this.#armTailProbe(now);
  }

  #armRetransmit(now: Instant): void {
    const giveUpAt = this.#stalledSince + this.#userTimeoutMs;
    this.#timers.set(RETRANSMIT, Math.min(now + this.rtt.rtoMs, Math.max(giveUpAt, now)));
  }

  /** RFC 8985 §7.2. */
  #armTailProbe(now: Instant): void {
    const { board, rtt } = this;
    const timers = this.#timers;
    if (
      !this.sackPermitted ||
      !this.synchronized ||
      this.#mode !== "open" ||
      this.#tailProbeEnd >= 0 ||
      board.sackedCount > 0 ||
      board.hasLost ||
      board.empty ||
      this.timeouts > 0 ||
      timers.armed(REORDER)
    ) {
      timers.clear(TAIL_PROBE);
      return;
    }
    let waitMs = rtt.srttMs === undefined ? rtt.rtoMs : 2 * rtt.srttMs + 2;
    if (board.length === 1) waitMs += PROBE_ACK_DELAY_MS;
    timers.set(TAIL_PROBE, Math.min(now + waitMs, timers.at(RETRANSMIT)));
  }

  #startPersist(now: Instant): void {
    this.#stalledSince = now;
    this.#armPersist(now);
  }

  #armPersist(now: Instant): void {
    const waitMs = this.rtt.rtoAfter(this.#persistBackoff);
    this.#timers.set(PERSIST, Math.min(now + waitMs, Math.max(this.#stalledSince + this.#userTimeoutMs, now)));
  }
}
