import { HEADER_BYTES, payloadLengthAt, writeHeader } from "./frame.ts";

const FIRST_SEGMENT_BYTES = 2 * 1024;
const MAX_SEGMENT_BYTES = 64 * 1024;
/** Oldest frames given up to make room for one new frame, before the new one is given up instead. */
const DROP_ATTEMPTS = 3;

/** A run of whole frames in wire form. Bytes before `start` were handed out or dropped. */
interface Segment {
  readonly bytes: Uint8Array;
  start: number;
  end: number;
  frames: number;
  next: Segment | undefined;
}

/**
 * Frames waiting for one connection, already in wire form, bounded in frames and in bytes. When full, the oldest give way
 * to the newest: of real-time packets the newest are worth most.
 *
 * Frames lie back to back in segments of this connection alone, so a run of them leaves as one chunk without a copy, and
 * a reader that never reads pins nobody else's memory. Nothing is allocated while nothing waits.
 */
export class FrameQueue {
  readonly #maxFrames: number;
  readonly #maxBytes: number;
  #head: Segment | undefined;
  #tail: Segment | undefined;
  #frames = 0;
  #bytes = 0;
  #segmentBytes = FIRST_SEGMENT_BYTES;

  constructor(maxFrames: number, maxBytes: number) {
    this.#maxFrames = maxFrames;
    this.#maxBytes = maxBytes;
  }

  get frames(): number {
    return this.#frames;
  }

  /** Bytes of the frames that wait. */
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
    segment.bytes.set(bytes.subarray(offset, offset + length), keyAt + key.length);
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

  /** Some whole frames from the front as one chunk, owned by the caller: at most `maxBytes`, or one frame if that is more. */
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
    return segment.bytes.subarray(start, segment.start);
  }

  /** Gives memory back while nothing waits. */
  trim(): void {
    if (this.#frames > 0) return;
    this.clear();
    this.#segmentBytes = FIRST_SEGMENT_BYTES;
  }

  clear(): void {
    this.#head = undefined;
    this.#tail = undefined;
    this.#frames = 0;
    this.#bytes = 0;
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

  /** First segment that holds a frame; exhausted ones before it are let go. */
  #skipEmpty(): Segment | undefined {
    if (this.#frames === 0) return undefined;
    while (this.#head !== undefined && this.#head.frames === 0) this.#head = this.#head.next;
    return this.#head;
  }

  #segmentFor(length: number): Segment {
    const tail = this.#tail;
    if (tail !== undefined && tail.bytes.length - tail.end >= length) {
      return tail;
    }
    const segment: Segment = {
      bytes: new Uint8Array(Math.max(length, this.#segmentBytes)),
      start: 0,
      end: 0,
      frames: 0,
      next: undefined,
    };
    if (tail !== undefined) this.#segmentBytes = Math.min(MAX_SEGMENT_BYTES, 2 * this.#segmentBytes);
    if (tail === undefined || this.#frames === 0) this.#head = segment;
    else tail.next = segment;
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
