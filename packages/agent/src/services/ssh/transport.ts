import type { Duplex } from "node:stream";

/** Bulk data waits while more than this is queued on the stream. */
const HIGH_WATER_BYTES = 512 * 1024;
/**
 * Replies alone reach this size only if the client floods requests without reading: then its input is no longer read.
 */
const FLOOD_BYTES = 1024 * 1024;
/** How long the peer may take to read the rest after the end, or a disconnect message. */
const LINGER_MS = 2_000;
/** Pieces of one packet are joined up to this size before they are written. */
const JOIN_BYTES = 128 * 1024;

export interface TransportEvents {
  onData(chunk: Buffer): void;
  /** Called when there is room for bulk data again. */
  onWritable(): void;
  /** The stream is gone; called once. */
  onClose(error: Error | undefined): void;
}

/**
 * One tunnel connection: joins small writes, reports when it is full, and stops reading from a client that does not
 * read.
 */
export class Transport {
  readonly #stream: Duplex;
  readonly #events: TransportEvents;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #scheduled = false;
  #wasFull = false;
  #paused = false;
  #closed = false;
  #error: Error | undefined;

  constructor(stream: Duplex, events: TransportEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on("error", (error) => {
      this.#error = error;
    });
    stream.on("close", () => this.#close());
    stream.on("end", () => this.finish());
    stream.on("drain", () => this.#drained());
  }

  start(): void {
    this.#stream.on("data", (chunk: Buffer) => this.#events.onData(chunk));
  }

  /** Whether bulk data must wait. */
  get full(): boolean {
    const full = this.#queuedBytes > HIGH_WATER_BYTES;
    if (full) this.#wasFull = true;
    return full;
  }

  /** @param bytes Owned. Written at the end of the turn, with the others. */
  write(bytes: Buffer): void {
    if (this.#closed) return;
    this.#parts.push(bytes);
    this.#partBytes += bytes.length;
    if (this.#partBytes >= JOIN_BYTES) this.#flush();
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#flush();
      });
    }
    if (!this.#paused && this.#queuedBytes > FLOOD_BYTES) {
      this.#paused = true;
      this.#stream.pause();
    }
  }

  /** Ends after everything written so far; a client that does not end its half then is disconnected. */
  finish(): void {
    this.#flush();
    this.#stream.end();
    const linger = setTimeout(() => this.#stream.destroy(), LINGER_MS);
    linger.unref();
    this.#stream.once("close", () => clearTimeout(linger));
  }

  destroy(): void {
    this.#stream.destroy();
  }

  get #queuedBytes(): number {
    return this.#partBytes + this.#stream.writableLength;
  }

  #flush(): void {
    if (this.#parts.length === 0 || this.#closed) return;
    const [first] = this.#parts;
    const bytes = this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts, this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
    if (!this.#stream.writableEnded) this.#stream.write(bytes, () => this.#drained());
  }

  #drained(): void {
    if (this.#closed) return;
    const queued = this.#queuedBytes;
    if (this.#paused && queued < FLOOD_BYTES / 2) {
      this.#paused = false;
      this.#stream.resume();
    }
    if (this.#wasFull && queued <= HIGH_WATER_BYTES / 2) {
      this.#wasFull = false;
      this.#events.onWritable();
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts = [];
    this.#partBytes = 0;
    this.#events.onClose(this.#error);
  }
}
