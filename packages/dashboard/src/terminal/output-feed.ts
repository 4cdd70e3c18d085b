/** Output on its way to the emulator: in order, acknowledged once it is parsed, and dropped when the user interrupts a flood. */

/** How much the emulator is given ahead of what it has parsed. */
const IN_EMULATOR_BYTES = 128 * 1024;
const ACK_EVERY_BYTES = 64 * 1024;
const PIECE_BYTES = 32 * 1024;
const NOTHING = new Uint8Array(0);

export interface Emulator {
  /** Calls back once these bytes and all earlier ones were parsed. */
  write(bytes: Uint8Array, parsed: () => void): void;
}

export class OutputFeed {
  readonly #emulator: Emulator;
  /** Receives the number of bytes parsed since {@link restart}. */
  readonly #acknowledge: (bytes: number) => void;
  #queue: (Uint8Array | (() => void))[] = [];
  #queuedBytes = 0;
  #inEmulator = 0;
  #parsed = 0;
  #acknowledged = 0;
  /** Identifies the connection: output given to the emulator for an earlier one counts only there. */
  #connection = 0;

  constructor(emulator: Emulator, acknowledge: (bytes: number) => void) {
    this.#emulator = emulator;
    this.#acknowledge = acknowledge;
  }

  /** Bytes that have arrived but were not parsed yet. */
  get waiting(): number {
    return this.#queuedBytes + this.#inEmulator;
  }

  /** Starts over for another connection: counts from 0, and forgets waiting output. */
  restart(): void {
    this.#connection++;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#inEmulator = 0;
    this.#parsed = 0;
    this.#acknowledged = 0;
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.#queue.push(bytes.subarray(at, at + PIECE_BYTES));
    this.#queuedBytes += bytes.length;
    this.#pump();
  }

  /** Calls back once everything that arrived before was parsed, unless it is dropped with its connection. */
  after(callback: () => void): void {
    this.#queue.push(callback);
    this.#pump();
  }

  /**
   * Drops output that the emulator was not given yet; callbacks stay.
   * @returns The number of dropped bytes.
   */
  drop(): number {
    const dropped = this.#queuedBytes;
    this.#queue = this.#queue.filter((item) => typeof item === "function");
    this.#queuedBytes = 0;
    this.#count(dropped);
    this.#pump();
    return dropped;
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#inEmulator < IN_EMULATOR_BYTES) {
      const item = this.#queue.shift()!;
      const connection = this.#connection;
      if (typeof item === "function") {
        this.#emulator.write(NOTHING, () => {
          if (connection === this.#connection) item();
        });
        continue;
      }
      this.#queuedBytes -= item.length;
      this.#inEmulator += item.length;
      this.#emulator.write(item, () => {
        if (connection !== this.#connection) return;
        this.#inEmulator -= item.length;
        this.#count(item.length);
        this.#pump();
      });
    }
  }

  #count(bytes: number): void {
    this.#parsed += bytes;
    if (this.#parsed - this.#acknowledged < ACK_EVERY_BYTES) return;
    this.#acknowledged = this.#parsed;
    this.#acknowledge(this.#parsed);
  }
}
