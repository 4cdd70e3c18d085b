import type { Instant } from "../../base/instant.ts";
import type { PacketMemory } from "../../base/ports.ts";
import { MAX_SACK_BLOCKS } from "../wire/tcp.ts";
import type { ChunkPool } from "./chunk-pool.ts";
import { Reassembly } from "./reassembly.ts";
import type { RttEstimator } from "./rtt.ts";
import { before32, wireSeq } from "./seq.ts";

/** RFC 7323 §5.5: a timestamp older than this is not significant. */
const TIMESTAMP_LIFE_MS = 24 * 24 * 3_600_000;
/**
 * Ticks by which a timestamp may lie behind the newest. RFC 7323 allows none and so discards every reordered segment,
 * SACKs included. A quarter of a second (stacks tick every ms) is safe: 4 GB take longer.
 */
const PAWS_TOLERANCE_TICKS = 256;
/** Segments acknowledged at once after the start, so that the peer's slow start is not slowed. */
const QUICK_ACKS = 16;
/**
 * The window's slack beyond round trips: how long a packet waits behind a bulk stream whose reader is the bottleneck.
 * With 8 ms a small packet beside bulk on loopback took 12 to 25 ms (p50), with 2 ms 6 to 8 ms, and the bulk itself was
 * faster.
 */
const WINDOW_SLACK_MS = 2;
/** A rate measured over less time than this is that of a burst. */
const MEASURE_MS = 10;
/** A path may get longer: after at most twice this, its old length no longer counts. */
const SHORTEST_KEPT_MS = 5_000;
const MAX_UNSCALED_WINDOW = 65535;
const SACK_SCRATCH = new Float64Array(2 * MAX_SACK_BLOCKS);

/** The receiving half of a connection: what arrived, what the peer may send, when to acknowledge. */
export class Receiver {
  readonly reassembly: Reassembly;
  readonly #maxBufferBytes: number;
  /** Undelivered in-order bytes plus window never exceed this. Grows with the bytes read per round trip. */
  bufferBytes: number;
  /** Peer's initial sequence number. */
  irs = 0;
  /** Position after everything received in order, the FIN included. */
  next = 0;
  /** Position of the peer's FIN; -1 until it is seen. */
  finPosition = -1;
  windowScale = 0;
  /** Right edge of the largest window ever advertised. */
  advertisedEdge = 0;
  /** `next` as of the last segment sent. */
  lastAckSent = 0;

  ackNow = false;
  /** Position range for the next ACK's DSACK block (RFC 2883); start = end if none. */
  dsackStart = 0;
  dsackEnd = 0;
  #unackedBytes = 0;
  #quickAcks = QUICK_ACKS;
  /** Largest payload seen: the measure of a full segment. */
  #peerSegmentBytes = 536;

  timestamps = false;
  tsRecent = 0;
  #tsRecentAt = Number.NEGATIVE_INFINITY;

  // Receive buffer auto-tuning.
  #rttMs = 0;
  #measureStart = Number.NEGATIVE_INFINITY;
  #measurePosition = 1;
  /** Bytes per ms read in the last round. */
  #lastRate = 0;
  /** Shortest round trip of this period and of the one before. */
  #shortestMs = Number.POSITIVE_INFINITY;
  #shortestBeforeMs = Number.POSITIVE_INFINITY;
  #shortestUntil = Number.NEGATIVE_INFINITY;

  constructor(initialBufferBytes: number, maxBufferBytes: number, pool: ChunkPool) {
    this.reassembly = new Reassembly(pool);
    this.bufferBytes = Math.min(initialBufferBytes, maxBufferBytes);
    this.#maxBufferBytes = maxBufferBytes;
  }

  /** The shift to offer in a SYN (RFC 7323 §2.2): the largest buffer must be expressible. */
  offeredScale(): number {
    let shift = 0;
    while (MAX_UNSCALED_WINDOW * 2 ** shift < this.#maxBufferBytes && shift < 14) shift++;
    return shift;
  }

  synchronize(irs: number): void {
    this.irs = irs;
    this.next = 1;
    this.lastAckSent = 1;
    this.advertisedEdge = Math.max(1, this.advertisedEdge);
  }

  /** Everything up to and including the peer's FIN was received. */
  get finished(): boolean {
    return this.finPosition >= 0 && this.next > this.finPosition;
  }

  /**
   * Whether a segment overlaps the window (RFC 9293 §3.10.7.4). The left edge always does, so that a closed window receives
   * ACKs.
   * @param length In sequence numbers: payload, SYN and FIN.
   */
  accepts(position: number, length: number): boolean {
    if (position === this.next) return true;
    if (position >= this.advertisedEdge) return false;
    return length === 0 ? position >= this.next : position + length > this.next;
  }

  /**
   * Takes the payload of an acceptable segment.
   * @param position Of the first byte; may lie before `next` or reach beyond the window.
   * @returns whether the segment needs an immediate acknowledgment of its own.
   */
  receive(source: Uint8Array, offset: number, length: number, position: number, now: Instant): boolean {
    const { reassembly } = this;
    let start = position;
    let from = offset;
    let end = position + length;
    if (end <= this.next) {
      this.#reportDuplicate(start, end);
      return true;
    }
    let duplicate = false;
    if (start < this.next) {
      this.#reportDuplicate(start, this.next);
      duplicate = true;
      from += this.next - start;
      start = this.next;
    }
    const limit = this.finPosition >= 0 ? Math.min(this.finPosition, this.advertisedEdge) : this.advertisedEdge;
    if (end > limit) end = limit;
    if (start >= end) return true;
    if (length > this.#peerSegmentBytes) this.#peerSegmentBytes = length;
    const inOrder = start === this.next;
    const hadGaps = reassembly.pieceCount > 0;
    if (!reassembly.insert(source, from, end - start, start, now)) return true;
    if (reassembly.duplicateEnd > reassembly.duplicateStart) {
      this.#reportDuplicate(reassembly.duplicateStart, reassembly.duplicateEnd);
      duplicate = true;
    }
    if (!inOrder) return true;
    this.next = reassembly.next;
    this.#unackedBytes += end - start;
    // RFC 5681 §4.2: at once when a gap is filled, and for every second full segment.
    if (hadGaps || duplicate || this.#quickAcks > 0 || this.#unackedBytes >= 2 * this.#peerSegmentBytes)
      this.ackNow = true;
    if (this.#quickAcks > 0) this.#quickAcks--;
    return false;
  }

  /** Whether in-order data waits for a (possibly delayed) acknowledgment. */
  get ackOwed(): boolean {
    return this.next > this.lastAckSent;
  }

  /** The FIN counts once everything before it has arrived. @returns whether it counts from now on. */
  takeFin(): boolean {
    if (this.finPosition < 0 || this.next !== this.finPosition) return false;
    this.next = this.finPosition + 1;
    return true;
  }

  /**
   * The window to advertise now; moves the right edge. Never withdraws an offer (RFC 9293 §3.8.6), and moves the edge
   * only by steps worth sending (RFC 1122 §4.2.3.3).
   * @returns the value of the window field.
   */
  advertise(scale: number): number {
    const unread = this.reassembly.readableLength;
    const free = Math.max(0, this.bufferBytes - unread);
    let edge = this.next + free;
    const step = Math.min(this.bufferBytes / 2, this.#peerSegmentBytes);
    if (edge < this.advertisedEdge + step) edge = this.advertisedEdge;
    const unit = 1 << scale;
    let field = Math.floor((edge - this.next) / unit);
    // Rounding down must not move the edge back.
    if (this.next + field * unit < this.advertisedEdge) field = Math.ceil((this.advertisedEdge - this.next) / unit);
    if (field > MAX_UNSCALED_WINDOW) field = MAX_UNSCALED_WINDOW;
    if (field < 0) field = 0;
    this.advertisedEdge = Math.max(this.advertisedEdge, this.next + field * unit);
    return field;
  }

  /** After reading: whether to announce the larger window to the peer now. */
  windowUpdateDue(): boolean {
    if (this.finPosition >= 0) return false;
    const edge = this.next + Math.max(0, this.bufferBytes - this.reassembly.readableLength);
    const gained = edge - this.advertisedEdge;
    if (gained < Math.min(this.bufferBytes / 2, 2 * this.#peerSegmentBytes)) return false;
    const open = this.advertisedEdge - this.next;
    return open < 2 * this.#peerSegmentBytes || gained >= this.bufferBytes / 4;
  }

  /** A segment with our current acknowledgment was sent. */
  acknowledged(): void {
    this.lastAckSent = this.next;
    this.ackNow = false;
    this.#unackedBytes = 0;
    this.dsackStart = this.dsackEnd = 0;
  }

  /** The SACK option with its padding, a duplicate's report first (RFC 2883). @returns bytes written, 0 without blocks. */
  writeSackBlocks(memory: PacketMemory, offset: number): number {
    const { reassembly } = this;
    const scratch = SACK_SCRATCH;
    const limit = this.timestamps ? 3 : MAX_SACK_BLOCKS;
    let count = 0;
    const { view } = memory;
    let at = offset + 4;
    if (this.dsackEnd > this.dsackStart) {
      view.setUint32(at, wireSeq(this.irs, this.dsackStart));
      view.setUint32(at + 4, wireSeq(this.irs, this.dsackEnd));
      at += 8;
      count++;
    }
    if (reassembly.pieceCount > 0) {
      let pieces = reassembly.sackBlocks(scratch, limit - count);
      count += pieces;
      for (let i = 0; pieces > 0; pieces--, i += 2, at += 8) {
        view.setUint32(at, wireSeq(this.irs, scratch[i]!));
        view.setUint32(at + 4, wireSeq(this.irs, scratch[i + 1]!));
      }
    }
    if (count === 0) return 0;
    view.setUint32(offset, 0x01010500 | (2 + 8 * count));
    return 4 + 8 * count;
  }

  /** RFC 7323 §5.3 (R1), with tolerance for reordering. */
  failsPaws(tsValue: number, now: Instant): boolean {
    return before32(tsValue + PAWS_TOLERANCE_TICKS, this.tsRecent) && now - this.#tsRecentAt < TIMESTAMP_LIFE_MS;
  }

  /** RFC 7323 §4.3 (2): only a segment that covers the last acknowledgment sent updates the timestamp to echo. */
  noteTimestamp(tsValue: number, position: number, now: Instant): void {
    if (position > this.lastAckSent) return;
    if (before32(tsValue, this.tsRecent) && now - this.#tsRecentAt < TIMESTAMP_LIFE_MS) return;
    this.tsRecent = tsValue;
    this.#tsRecentAt = now;
  }

  /**
   * Once per round trip: a reader that keeps up gets a buffer for three of the shortest recent round trips, so that the
   * window survives a loss and its repair, plus some slack for pauses of either side; twice that while the rate still
   * grows. The shortest round trip is the measure because a larger window on a full path only lengthens the round trip:
   * the queue behind a bulk stream is bounded by the slack, and other traffic beside it stays fast. A reader that does
   * not read gets no more.
   * @param ageMs Whole ms since we created the timestamp that a data segment echoes, negative when it echoes none: the
   * round trip as the receiver sees it. (Whole, since fractions would be boxed for every packet.)
   * @param rtt Our own estimate, when there is no such segment.
   */
  tune(ageMs: number, rtt: RttEstimator, now: Instant): void {
    const seenMs = ageMs < 0 ? 0 : now - Math.floor(now) + ageMs;
    if (seenMs > 0) this.#noteRtt(seenMs);
    else if (rtt.srttMs !== undefined) this.#noteRtt(rtt.srttMs);
    const elapsedMs = now - this.#measureStart;
    if (elapsedMs < Math.max(this.#rttMs, MEASURE_MS)) return;
    const read = this.reassembly.readPosition;
    const taken = read - this.#measurePosition;
    if (this.#measureStart !== Number.NEGATIVE_INFINITY && taken > 0) {
      const rate = taken / elapsedMs;
      const growing = rate > 1.25 * this.#lastRate;
      const shortestMs = Math.min(this.#shortestMs, this.#shortestBeforeMs);
      const wanted = (growing ? 2 : 1) * rate * (3 * shortestMs + WINDOW_SLACK_MS) + 16 * this.#peerSegmentBytes;
      if (wanted > this.bufferBytes) this.bufferBytes = Math.min(Math.ceil(wanted), this.#maxBufferBytes);
      this.#lastRate = rate;
    }
    this.#measureStart = now;
    this.#measurePosition = read;
    if (now < this.#shortestUntil) return;
    this.#shortestBeforeMs = this.#shortestMs;
    this.#shortestMs = this.#rttMs;
    this.#shortestUntil = now + SHORTEST_KEPT_MS;
  }

  #noteRtt(rttMs: number): void {
    this.#rttMs = this.#rttMs === 0 || rttMs < this.#rttMs ? rttMs : this.#rttMs + (rttMs - this.#rttMs) / 8;
    if (rttMs < this.#shortestMs) this.#shortestMs = rttMs;
  }

  /** After a pause acknowledges at once again, since the peer slow-starts then (RFC 5681 §4.1). */
  restartQuickAcks(): void {
    this.#quickAcks = QUICK_ACKS;
  }

  #reportDuplicate(start: number, end: number): void {
    this.ackNow = true;
    if (this.dsackEnd > this.dsackStart) return; // one per ACK: the first
    this.dsackStart = Math.max(start, 0);
    this.dsackEnd = end;
  }
}
