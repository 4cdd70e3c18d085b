import type { Instant } from "../../base/instant.ts";

const SACKED = 1;
/** Deemed lost and waiting for retransmission: on the lost list, not counted in flight. */
const LOST = 2;
const RETRANSMITTED = 4;

const INITIAL_CAPACITY = 8;
/** Rounding of floating-point milliseconds must not delay a verdict to the next event. */
const EPSILON_MS = 0.001;

/**
 * Every sequence range sent and not yet acknowledged, one record per segment, contiguous and in sequence order, in a ring
 * of typed arrays. Unacknowledged records are also on one of two linked lists: *in flight*, ordered by the time of the
 * last transmission, which is the order RACK (RFC 8985 §6.2) looks at them; or *lost*, in the order they were found lost.
 * SACKed records are on neither. So each acknowledgment costs what it changes, however large the window is.
 *
 * A record is named by its index, which only grows.
 */
export class Scoreboard {
  #mask = INITIAL_CAPACITY - 1;
  #start = new Float64Array(INITIAL_CAPACITY);
  #end = new Float64Array(INITIAL_CAPACITY);
  #sentAt = new Float64Array(INITIAL_CAPACITY);
  #flags = new Uint8Array(INITIAL_CAPACITY);
  #next = new Float64Array(INITIAL_CAPACITY);
  #previous = new Float64Array(INITIAL_CAPACITY);
  #first = 0;
  #count = 0;
  #flightHead = -1;
  #flightTail = -1;
  #lostHead = -1;
  #lostTail = -1;
  /** SACK blocks of the last acknowledgment that had any: most of the next one's were handled already. */
  readonly #seen = new Float64Array(8);
  #seenCount = 0;
  readonly #blocks = new Float64Array(8);
  #blockCount = 0;

  /** Bytes neither acknowledged, SACKed nor lost: RFC 6675's pipe. */
  inFlight = 0;
  lostBytes = 0;
  /** SACKed records. */
  sackedCount = 0;
  /** Longest record ever delivered on this path: a lower bound of its capacity. */
  largestDelivered = 0;

  // What the current acknowledgment changed; see beginAck.
  /** Bytes acknowledged or SACKed for the first time. */
  delivered = 0;
  newlySacked = 0;
  newlyLost = 0;
  /** When the newest never-retransmitted record among the delivered was sent; -1 when there was none. */
  cleanSentAt = -1;
  /** When a delivered record that had been retransmitted was last sent; -1 when there was none. */
  retransmittedSentAt = -1;

  // RACK (RFC 8985 §5.2): the most recently sent record that was delivered.
  rackSentAt = Number.NEGATIVE_INFINITY;
  rackEnd = 0;
  rackRttMs = 0;
  /** A never-retransmitted record was delivered after one sent later: the path reorders. */
  reorderingSeen = false;
  #highestDelivered = 0;

  get empty(): boolean {
    return this.#count === 0;
  }
  get length(): number {
    return this.#count;
  }
  get hasLost(): boolean {
    return this.#lostHead >= 0;
  }

  start(index: number): number {
    return this.#start[index & this.#mask]!;
  }
  end(index: number): number {
    return this.#end[index & this.#mask]!;
  }
  sentAt(index: number): number {
    return this.#sentAt[index & this.#mask]!;
  }
  wasRetransmitted(index: number): boolean {
    return (this.#flags[index & this.#mask]! & RETRANSMITTED) !== 0;
  }
  isLost(index: number): boolean {
    return (this.#flags[index & this.#mask]! & LOST) !== 0;
  }
  /** The record at the left edge of the window. Only when not empty. */
  get first(): number {
    return this.#first;
  }
  /** The record sent last in sequence. Only when not empty. */
  get last(): number {
    return this.#first + this.#count - 1;
  }

  append(start: number, end: number, now: Instant): void {
    if (this.#count > this.#mask) this.#resize((this.#mask + 1) * 2);
    const index = this.#first + this.#count++;
    const slot = index & this.#mask;
    this.#start[slot] = start;
    this.#end[slot] = end;
    this.#sentAt[slot] = now;
    this.#flags[slot] = 0;
    this.inFlight += end - start;
    this.#pushFlight(index);
  }

  /** The next record to retransmit: the left edge before all others; -1 when none is lost. */
  nextLost(): number {
    if (this.#lostHead < 0) return -1;
    return (this.#flags[this.#first & this.#mask]! & LOST) !== 0 ? this.#first : this.#lostHead;
  }

  /** Notes that a record, lost or not, was retransmitted. */
  retransmitted(index: number, now: Instant): void {
    const slot = index & this.#mask;
    const flags = this.#flags[slot]!;
    if ((flags & SACKED) !== 0) return;
    const length = this.#end[slot]! - this.#start[slot]!;
    if ((flags & LOST) !== 0) {
      this.#unlinkLost(index);
      this.lostBytes -= length;
      this.inFlight += length;
    } else {
      this.#unlinkFlight(index);
    }
    this.#flags[slot] = RETRANSMITTED;
    this.#sentAt[slot] = now;
    this.#pushFlight(index);
  }

  /** Resets what the current acknowledgment changed. */
  beginAck(): void {
    this.delivered = 0;
    this.newlySacked = 0;
    this.newlyLost = 0;
    this.cleanSentAt = -1;
    this.retransmittedSentAt = -1;
  }

  /**
   * Everything before `position` was acknowledged.
   * @param echoedAt When the timestamp that the acknowledgment echoes was made, or -1 without timestamps.
   */
  acknowledge(position: number, now: Instant, echoedAt: number, minRttMs: number): void {
    while (this.#count > 0) {
      const slot = this.#first & this.#mask;
      const start = this.#start[slot]!;
      const end = this.#end[slot]!;
      if (end > position) {
        if (start < position) this.#trimFirst(slot, position);
        break;
      }
      const flags = this.#flags[slot]!;
      if ((flags & SACKED) !== 0) this.sackedCount--;
      else this.#deliver(this.#first, flags, now, echoedAt, minRttMs);
      this.#first++;
      this.#count--;
    }
    if (this.#count === 0) {
      this.#seenCount = 0;
      // A transfer that needed a large window is over, or pauses: release the arrays.
      if (this.#mask + 1 > 1024) this.#resize(INITIAL_CAPACITY);
    }
  }

  /** Adds one SACK block; see applySack. */
  addSackBlock(left: number, right: number): void {
    if (this.#blockCount >= 4) return;
    this.#blocks[2 * this.#blockCount] = left;
    this.#blocks[2 * this.#blockCount + 1] = right;
    this.#blockCount++;
  }

  /** Marks what the added blocks cover. Parts that the previous acknowledgment covered are skipped. */
  applySack(now: Instant, echoedAt: number, minRttMs: number): void {
    const blocks = this.#blocks;
    for (let b = 0; b < this.#blockCount; b++) {
      let left = blocks[2 * b]!;
      let right = blocks[2 * b + 1]!;
      for (let s = 0; s < this.#seenCount; s++) {
        const seenLeft = this.#seen[2 * s]!;
        const seenRight = this.#seen[2 * s + 1]!;
        if (left >= seenLeft && left < seenRight) left = seenRight;
        else if (right > seenLeft && right <= seenRight) right = seenLeft;
      }
      if (left < right) this.#markSacked(left, right, now, echoedAt, minRttMs);
    }
    for (let i = 0; i < 2 * this.#blockCount; i++) this.#seen[i] = blocks[i]!;
    this.#seenCount = this.#blockCount;
    this.#blockCount = 0;
  }

  /**
   * RACK_detect_loss: every record sent before the most recently sent delivered one that has waited long enough is
   * lost.
   * @returns ms until the next record would be lost, or -1 when no timer is needed.
   */
  detectLosses(now: Instant, reorderWindowMs: number): number {
    for (let index = this.#flightHead; index >= 0; ) {
      const slot = index & this.#mask;
      const sentAt = this.#sentAt[slot]!;
      if (sentAt > this.rackSentAt || (sentAt === this.rackSentAt && this.#end[slot]! >= this.rackEnd)) return -1;
      const remaining = sentAt + this.rackRttMs + reorderWindowMs - now;
      if (remaining > EPSILON_MS) return remaining;
      const following = this.#next[slot]!;
      this.markLost(index);
      index = following;
    }
    return -1;
  }

  /** RACK_mark_losses_on_RTO: the left edge, and everything sent a round trip ago. */
  markLostOnTimeout(now: Instant, rttMs: number): void {
    if (this.#count === 0) return;
    // A receiver that SACKed the left edge without acknowledging it has discarded data (RFC 2018 §8): discard all
    // SACKs.
    if ((this.#flags[this.#first & this.#mask]! & SACKED) !== 0) this.#forgetSacks();
    const last = this.#first + this.#count;
    for (let index = this.#first; index < last; index++) {
      const slot = index & this.#mask;
      if ((this.#flags[slot]! & (SACKED | LOST)) !== 0) continue;
      if (index === this.#first || this.#sentAt[slot]! + rttMs - now <= EPSILON_MS) this.markLost(index);
    }
  }

  /** Only for a record that is in flight. */
  markLost(index: number): void {
    const slot = index & this.#mask;
    if ((this.#flags[slot]! & (LOST | SACKED)) !== 0) return;
    const length = this.#end[slot]! - this.#start[slot]!;
    this.#unlinkFlight(index);
    this.#flags[slot] = this.#flags[slot]! | LOST;
    this.inFlight -= length;
    this.lostBytes += length;
    this.newlyLost += length;
    this.#pushLost(index);
  }

  /** Records longer than `length` did not fit the path. */
  markLongerLost(length: number): void {
    for (let index = this.#first; index < this.#first + this.#count; index++)
      if (this.end(index) - this.start(index) > length) this.markLost(index);
  }

  /** The timeout was spurious: records not retransmitted yet are in flight after all. */
  restoreLost(): void {
    const order: number[] = [];
    for (let index = this.#first; index < this.#first + this.#count; index++) {
      const slot = index & this.#mask;
      if ((this.#flags[slot]! & SACKED) !== 0) continue;
      if ((this.#flags[slot]! & LOST) !== 0) {
        this.#flags[slot] = this.#flags[slot]! & ~LOST;
        this.inFlight += this.#end[slot]! - this.#start[slot]!;
      }
      order.push(index);
    }
    this.lostBytes = 0;
    this.#lostHead = this.#lostTail = this.#flightHead = this.#flightTail = -1;
    order.sort((a, b) => this.sentAt(a) - this.sentAt(b) || a - b);
    for (const index of order) this.#pushFlight(index);
  }

  /** Splits records longer than `length`, after the path turned out to carry less. Rare, so it rebuilds everything. */
  splitLongerThan(length: number): void {
    let pieces = 0;
    let tooLong = false;
    for (let index = this.#first; index < this.#first + this.#count; index++) {
      const size = this.end(index) - this.start(index);
      pieces += Math.max(1, Math.ceil(size / length));
      if (size > length) tooLong = true;
    }
    if (!tooLong) return;
    const old = { first: this.#first, count: this.#count, mask: this.#mask };
    const [start, end, sentAt, flags] = [this.#start, this.#end, this.#sentAt, this.#flags];
    const lost: number[] = [];
    for (let index = this.#lostHead; index >= 0; index = this.#next[index & this.#mask]!) lost.push(index);
    let capacity = INITIAL_CAPACITY;
    while (capacity < pieces) capacity *= 2;
    this.#allocate(capacity);
    this.#first = 0;
    this.#count = 0;
    const flight: number[] = [];
    const lostRank = new Map(lost.map((index, rank) => [index, rank]));
    const lostPieces: [rank: number, index: number][] = [];
    this.sackedCount = 0;
    for (let index = old.first; index < old.first + old.count; index++) {
      const slot = index & old.mask;
      const rank = lostRank.get(index);
      let at = start[slot]!;
      do {
        const to = Math.min(at + length, end[slot]!);
        const piece = this.#count++;
        this.#start[piece] = at;
        this.#end[piece] = to;
        this.#sentAt[piece] = sentAt[slot]!;
        this.#flags[piece] = flags[slot]!;
        if (rank !== undefined) lostPieces.push([rank, piece]);
        else if ((flags[slot]! & SACKED) !== 0) this.sackedCount++;
        else flight.push(piece);
        at = to;
      } while (at < end[slot]!);
    }
    this.#lostHead = this.#lostTail = this.#flightHead = this.#flightTail = -1;
    flight.sort((a, b) => this.sentAt(a) - this.sentAt(b) || a - b);
    for (const index of flight) this.#pushFlight(index);
    lostPieces.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    for (const [, index] of lostPieces) this.#pushLost(index);
  }

  clear(): void {
    this.#allocate(INITIAL_CAPACITY);
    this.#first = this.#count = 0;
    this.#flightHead = this.#flightTail = this.#lostHead = this.#lostTail = -1;
    this.inFlight = this.lostBytes = this.sackedCount = this.#seenCount = 0;
  }

  #deliver(index: number, flags: number, now: Instant, echoedAt: number, minRttMs: number): void {
    const slot = index & this.#mask;
    const end = this.#end[slot]!;
    const length = end - this.#start[slot]!;
    if ((flags & LOST) !== 0) {
      this.#unlinkLost(index);
      this.lostBytes -= length;
    } else {
      this.#unlinkFlight(index);
      this.inFlight -= length;
    }
    this.delivered += length;
    if (length > this.largestDelivered) this.largestDelivered = length;
    const sentAt = this.#sentAt[slot]!;
    const rttMs = now - sentAt;
    if ((flags & RETRANSMITTED) === 0) {
      if (sentAt > this.cleanSentAt) this.cleanSentAt = sentAt;
      if (end < this.#highestDelivered) this.reorderingSeen = true;
    } else {
      if (sentAt > this.retransmittedSentAt) this.retransmittedSentAt = sentAt;
      // Which of the transmissions was delivered? An older one, when the echo or the time says so (RFC 8985 §6.2 step 2).
      if (echoedAt >= 0 && echoedAt < Math.floor(sentAt)) return;
      if (rttMs < minRttMs) return;
    }
    if (end > this.#highestDelivered) this.#highestDelivered = end;
    if (sentAt > this.rackSentAt || (sentAt === this.rackSentAt && end > this.rackEnd)) {
      this.rackSentAt = sentAt;
      this.rackEnd = end;
      this.rackRttMs = rttMs;
    }
  }

  #markSacked(left: number, right: number, now: Instant, echoedAt: number, minRttMs: number): void {
    const last = this.#first + this.#count;
    for (let index = this.#firstAtOrAfter(left); index < last; index++) {
      const slot = index & this.#mask;
      if (this.#end[slot]! > right) break;
      const flags = this.#flags[slot]!;
      if ((flags & SACKED) !== 0) continue;
      this.#deliver(index, flags, now, echoedAt, minRttMs);
      this.#flags[slot] = (flags & ~LOST) | SACKED;
      this.sackedCount++;
      this.newlySacked += this.#end[slot]! - this.#start[slot]!;
    }
  }

  /** Binary search for the first record that starts at or after a position. */
  #firstAtOrAfter(position: number): number {
    let low = this.#first;
    let high = this.#first + this.#count;
    while (low < high) {
      const middle = low + Math.floor((high - low) / 2);
      if (this.#start[middle & this.#mask]! < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #trimFirst(slot: number, position: number): void {
    const flags = this.#flags[slot]!;
    const acknowledged = position - this.#start[slot]!;
    this.#start[slot] = position;
    if ((flags & SACKED) !== 0) return;
    this.delivered += acknowledged;
    if ((flags & LOST) !== 0) this.lostBytes -= acknowledged;
    else this.inFlight -= acknowledged;
  }

  #forgetSacks(): void {
    for (let index = this.#first; index < this.#first + this.#count; index++) {
      const slot = index & this.#mask;
      if ((this.#flags[slot]! & SACKED) === 0) continue;
      this.#flags[slot] = this.#flags[slot]! & ~SACKED;
      this.inFlight += this.#end[slot]! - this.#start[slot]!;
      this.#pushFlight(index);
    }
    this.sackedCount = 0;
    this.#seenCount = 0;
  }

  // Both lists link the same records. These functions exist twice because a list class would reach its ends and the shared
  // arrays, which a resize replaces, through one more object for every segment.
  #pushFlight(index: number): void {
    const slot = index & this.#mask;
    this.#next[slot] = -1;
    this.#previous[slot] = this.#flightTail;
    if (this.#flightTail >= 0) this.#next[this.#flightTail & this.#mask] = index;
    else this.#flightHead = index;
    this.#flightTail = index;
  }

  #unlinkFlight(index: number): void {
    const slot = index & this.#mask;
    const next = this.#next[slot]!;
    const previous = this.#previous[slot]!;
    if (previous >= 0) this.#next[previous & this.#mask] = next;
    else this.#flightHead = next;
    if (next >= 0) this.#previous[next & this.#mask] = previous;
    else this.#flightTail = previous;
  }

  #pushLost(index: number): void {
    const slot = index & this.#mask;
    this.#next[slot] = -1;
    this.#previous[slot] = this.#lostTail;
    if (this.#lostTail >= 0) this.#next[this.#lostTail & this.#mask] = index;
    else this.#lostHead = index;
    this.#lostTail = index;
  }

  #unlinkLost(index: number): void {
    const slot = index & this.#mask;
    const next = this.#next[slot]!;
    const previous = this.#previous[slot]!;
    if (previous >= 0) this.#next[previous & this.#mask] = next;
    else this.#lostHead = next;
    if (next >= 0) this.#previous[next & this.#mask] = previous;
    else this.#lostTail = previous;
  }

  /** Indices stay: only the slots they map to change. */
  #resize(capacity: number): void {
    const mask = this.#mask;
    const old = [this.#start, this.#end, this.#sentAt, this.#flags, this.#next, this.#previous] as const;
    this.#allocate(capacity);
    const fresh = [this.#start, this.#end, this.#sentAt, this.#flags, this.#next, this.#previous] as const;
    for (let index = this.#first; index < this.#first + this.#count; index++)
      for (let i = 0; i < old.length; i++) fresh[i]![index & this.#mask] = old[i]![index & mask]!;
  }

  #allocate(capacity: number): void {
    this.#mask = capacity - 1;
    this.#start = new Float64Array(capacity);
    this.#end = new Float64Array(capacity);
    this.#sentAt = new Float64Array(capacity);
    this.#flags = new Uint8Array(capacity);
    this.#next = new Float64Array(capacity);
    this.#previous = new Float64Array(capacity);
  }
}
