import type { Duplex } from "node:stream";
import { copiesWrites, lenderOf } from "wg-userspace/io/sockets/owned-buffers";
import { releaseWritten } from "./ssh2-protocol.ts";

/** Bulk data waits while more than this is queued on the stream. */
const HIGH_WATER_BYTES = 512 * 1024;
/** Replies alone reach this size only if the client floods requests without reading, so its input is then no longer read. */
const FLOOD_BYTES = 1024 * 1024;
/** How long the peer may take to read the rest after the end or a disconnect message, in ms. */
const LINGER_MS = 2_000;
/** Smaller pieces are joined before they are written, up to the second size. */
const DIRECT_BYTES = 4096;
const JOIN_BYTES = 128 * 1024;

export interface TransportEvents {
  /** @returns Whether the chunk was consumed, and no view of it is kept. */
  onData(chunk: Buffer): boolean;
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
  readonly #copiesWrites: boolean;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #scheduled = false;
  #wasFull = false;
  #flooded = false;
  #held = false;
  #closed = false;
  #error: Error | undefined;

  constructor(stream: Duplex, events: TransportEvents) {
    this.#stream = stream;
    this.#events = events;
    this.#copiesWrites = copiesWrites(stream);
    stream.on("error", (error) => {
      this.#error = error;
    });
    stream.on("close", () => this.#close());
    stream.on("end", () => this.finish());
    stream.on("drain", () => this.#drained());
  }

  start(): void {
    const giveBack = lenderOf(this.#stream);
    this.#stream.on("data", (chunk: Buffer) => {
      if (this.#events.onData(chunk)) giveBack?.(chunk);
    });
  }

  /** Whether bulk data must wait. */
  get full(): boolean {
    const full = this.#queuedBytes > HIGH_WATER_BYTES;
    if (full) this.#wasFull = true;
    return full;
  }

  /**
   * Small pieces are written together at the end of the turn.
   * @param bytes Nothing changes them any more.
   * @param owned Nothing else reads them either: their memory is returned once the stream has copied them.
   */
  write(bytes: Buffer, owned: boolean): void {
    if (this.#closed) return;
    if (bytes.length >= DIRECT_BYTES) this.#writeDirectly(bytes, owned && this.#copiesWrites);
    else this.#join(bytes);
    if (!this.#flooded && this.#queuedBytes > FLOOD_BYTES) {
      this.#flooded = true;
      this.#read();
    }
  }

  /** Stops reading while requests of the client wait for answers. */
  hold(held: boolean): void {
    if (this.#held === held) return;
    this.#held = held;
    this.#read();
  }

  /** Ends after everything written so far; a client that then does not end its half is disconnected. */
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

  #join(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#partBytes += bytes.length;
    if (this.#partBytes >= JOIN_BYTES) this.#flush();
    if (this.#scheduled || this.#partBytes === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #writeDirectly(bytes: Buffer, free: boolean): void {
    this.#flush();
    if (this.#stream.writableEnded) return;
    this.#stream.write(bytes, (error) => {
      if (free && !error) releaseWritten(bytes);
      this.#drained();
    });
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
    if (this.#flooded && queued < FLOOD_BYTES / 2) {
      this.#flooded = false;
      this.#read();
    }
    if (this.#wasFull && queued <= HIGH_WATER_BYTES / 2) {
      this.#wasFull = false;
      this.#events.onWritable();
    }
  }

  #read(): void {
    if (this.#flooded || this.#held) this.#stream.pause();
    else this.#stream.resume();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parts = [];
    this.#partBytes = 0;
    this.#events.onClose(this.#error);
  }
}
