import { copyInto } from "../base/bytes.ts";
import { HEADER_BYTES, payloadLengthAt, writeHeader } from "./frame.ts";

const FIRST_SEGMENT_BYTES = 2 * 1024;
const MAX_SEGMENT_BYTES = 64 * 1024;
/** Oldest frames dropped to make room for one new frame, before the new one is dropped instead. */
const DROP_ATTEMPTS = 3;

/** A run of whole frames in wire form. Bytes before `start` were handed out or dropped. */
interface Segment {
  readonly bytes: Uint8Array;
  start: number;
  end: number;
  frames: number;
  /** Chunks of the segment that the transport still reads. */
  lent: number;
  /** No queue holds the segment any more. */
  left: boolean;
  next: Segment | undefined;
}

/** Full segments kept for the next queue that needs one: 4 MiB. */
const POOLED_SEGMENTS = 64;

/** Shared memory of many queues: the segments that one transport has written are filled by the next queue. */
export class SegmentPool {
  readonly #free: Uint8Array[] = [];
  /**
   * By buffer: segments that a transport still reads from. Weak, because a transport that fails never gives its chunks back, and
   * nothing else would forget them.
   */
  readonly #lent = new WeakMap<ArrayBufferLike, Segment>();

  make(length: number): Segment {
    const pooled = length === MAX_SEGMENT_BYTES ? this.#free.pop() : undefined;
    const bytes = pooled ?? new Uint8Array(length);
    return { bytes, start: 0, end: 0, frames: 0, lent: 0, left: false, next: undefined };
  }

  lend(segment: Segment): void {
    if (segment.lent++ === 0) this.#lent.set(segment.bytes.buffer, segment);
  }

  /** A chunk of {@link FrameQueue.take} is no longer read. A chunk that is never returned is merely not reused. */
  giveBack(chunk: Uint8Array): void {
    const segment = this.#lent.get(chunk.buffer);
    if (segment === undefined || --segment.lent > 0) return;
    this.#lent.delete(chunk.buffer);
    if (segment.left) this.leave(segment);
    else if (segment.frames === 0) segment.start = segment.end = 0;
  }

  /** The queue of the segment does not hold it any more. */
  leave(segment: Segment): void {
    segment.left = true;
    if (segment.lent > 0) return;
    if (segment.bytes.length === MAX_SEGMENT_BYTES && this.#free.length < POOLED_SEGMENTS)
      this.#free.push(segment.bytes);
  }
}

/**
 * Frames waiting for one connection, already in wire form, bounded in frames and in bytes. When full, the oldest are
 * dropped for the newest, which are worth most in real-time traffic.
 *
 * Frames lie back to back in segments of this connection alone, so a run of them leaves as one chunk without a copy,
 * and a reader that never reads pins no memory of other connections. Segments come from a pool and return there once
 * written: allocating new ones took a third of a busy relay's time. An empty queue holds no memory.
 */
export class FrameQueue {
  readonly #maxFrames: number;
  readonly #maxBytes: number;
  readonly #pool: SegmentPool;
  #head: Segment | undefined;
  #tail: Segment | undefined;
  #frames = 0;
  #bytes = 0;
  #segmentBytes = FIRST_SEGMENT_BYTES;

  constructor(maxFrames: number, maxBytes: number, pool: SegmentPool) {
    this.#pool = pool;
    this.#maxFrames = maxFrames;
    this.#maxBytes = maxBytes;
  }

  get frames(): number {
    return this.#frames;
  }

  /** Bytes of the waiting frames. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Appends header ‖ key ‖ packet; everything is copied.
   * @returns how many old frames were dropped for it; -1 when there was still no room and the new one was dropped.
   */
  pushPacket(type: number, key: Uint8Array, bytes: Uint8Array, offset: number, length: number): number {
    const payload = key.length + length;
    const dropped = this.#makeRoom(HEADER_BYTES + payload);
    if (dropped < 0) return -1;
    const segment = this.#segmentFor(HEADER_BYTES + payload);
    const keyAt = writeHeader(segment.bytes, segment.end, type, payload);
    segment.bytes.set(key, keyAt);
    copyInto(bytes, offset, length, segment.bytes, keyAt + key.length);
    this.#added(segment, HEADER_BYTES + payload);
    return dropped;
  }

  /** Appends a whole frame, never dropping an older one. Returns false when there is no room. */
  pushFrame(frame: Uint8Array): boolean {
    if (this.#frames >= this.#maxFrames || this.#bytes + frame.length > this.#maxBytes) return false;
    const segment = this.#segmentFor(frame.length);
    segment.bytes.set(frame, segment.end);
    this.#added(segment, frame.length);
    return true;
  }

  /**
   * Some whole frames from the front as one chunk: at most `maxBytes`, or one frame if that is more. It stays unchanged
   * until it is returned to the pool.
   */
  take(maxBytes: number): Uint8Array | undefined {
    const segment = this.#skipEmpty();
    if (segment === undefined) return undefined;
    const start = segment.start;
    if (segment.end - start <= maxBytes) {
      this.#frames -= segment.frames;
      segment.frames = 0;
      segment.start = segment.end;
    } else {
      do {
        segment.start += HEADER_BYTES + payloadLengthAt(segment.bytes, segment.start);
        segment.frames--;
        this.#frames--;
      } while (
        segment.frames > 0 &&
        segment.start + HEADER_BYTES + payloadLengthAt(segment.bytes, segment.start) - start <= maxBytes
      );
    }
    this.#bytes -= segment.start - start;
    this.#pool.lend(segment);
    return segment.bytes.subarray(start, segment.start);
  }

  /** Releases the memory of an empty queue. */
  trim(): void {
    if (this.#frames > 0) return;
    this.clear();
    this.#segmentBytes = FIRST_SEGMENT_BYTES;
  }

  clear(): void {
    this.#leaveAll();
    this.#head = undefined;
    this.#tail = undefined;
    this.#frames = 0;
    this.#bytes = 0;
  }

  #leaveAll(): void {
    for (let segment = this.#head; segment !== undefined; segment = segment.next) this.#pool.leave(segment);
  }

  #makeRoom(length: number): number {
    if (length > this.#maxBytes) return -1;
    let dropped = 0;
    while (this.#frames >= this.#maxFrames || this.#bytes + length > this.#maxBytes) {
      if (dropped === DROP_ATTEMPTS) return -1;
      this.#dropHead();
      dropped++;
    }
    return dropped;
  }

  #dropHead(): void {
    const segment = this.#skipEmpty()!;
    const length = HEADER_BYTES + payloadLengthAt(segment.bytes, segment.start);
    segment.start += length;
    segment.frames--;
    this.#frames--;
    this.#bytes -= length;
  }

  /** First segment that holds a frame; exhausted ones before it are released. */
  #skipEmpty(): Segment | undefined {
    if (this.#frames === 0) return undefined;
    while (this.#head !== undefined && this.#head.frames === 0) {
      this.#pool.leave(this.#head);
      this.#head = this.#head.next;
    }
    return this.#head;
  }

  #segmentFor(length: number): Segment {
    const tail = this.#tail;
    if (tail !== undefined && tail.bytes.length - tail.end >= length) {
      return tail;
    }
    const segment = this.#pool.make(Math.max(length, this.#segmentBytes));
    if (tail !== undefined) this.#segmentBytes = Math.min(MAX_SEGMENT_BYTES, 2 * this.#segmentBytes);
    if (tail === undefined || this.#frames === 0) {
      this.#leaveAll();
      this.#head = segment;
    } else tail.next = segment;
    this.#tail = segment;
    return segment;
  }

  #added(segment: Segment, length: number): void {
    segment.end += length;
    segment.frames++;
    this.#frames++;
    this.#bytes += length;
  }
}
