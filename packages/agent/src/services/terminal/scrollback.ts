/**
 * The last output of a terminal, for viewers that attach later. A parser of terminal output tracks what was discarded, so that a
 * replay starts between characters and escape sequences, and on the right screen.
 */
import { isContinuation, OutputParser } from "./output-parser.ts";
import { passive } from "./passive.ts";

const SCROLLBACK_BYTES = 64 * 1024;
/** A sequence longer than this (an image, or one that never ends) is shown truncated rather than hiding the rest. */
const MAX_SKIPPED_BYTES = 8 * 1024;

export class Scrollback {
  readonly #ring: Uint8Array;
  readonly #lost = new OutputParser();
  #start = 0;
  #length = 0;

  /** @param capacity In bytes. */
  constructor(capacity: number = SCROLLBACK_BYTES) {
    this.#ring = new Uint8Array(capacity);
  }

  /** Copies the output. */
  append(output: Uint8Array): void {
    const capacity = this.#ring.length;
    const surplus = Math.max(0, this.#length + output.length - capacity);
    const fromRing = Math.min(surplus, this.#length);
    const untilWrap = this.#ring.subarray(this.#start, this.#start + fromRing);
    this.#lost.push(untilWrap);
    this.#lost.push(this.#ring.subarray(0, fromRing - untilWrap.length));
    this.#lost.push(output.subarray(0, surplus - fromRing));
    this.#start = (this.#start + fromRing) % capacity;
    this.#length -= fromRing;
    const kept = output.subarray(surplus - fromRing);
    const end = (this.#start + this.#length) % capacity;
    const first = kept.subarray(0, capacity - end);
    this.#ring.set(first, end);
    this.#ring.set(kept.subarray(first.length), 0);
    this.#length += kept.length;
  }

  /**
   * The kept output, from the first byte at which a terminal may start, and without queries that a terminal would answer. Begins
   * by switching a new terminal to the screen on which the program drew.
   */
  replay(): Uint8Array {
    const all = new Uint8Array(this.#length);
    const first = this.#ring.subarray(this.#start, this.#start + this.#length);
    all.set(first, 0);
    all.set(this.#ring.subarray(0, this.#length - first.length), first.length);
    const parser = this.#lost.clone();
    const shown = passive(all.subarray(skipUnfinished(parser, all)));
    const screen = parser.modes.screen();
    return screen === "" ? shown : Buffer.concat([Buffer.from(screen), shown]);
  }
}

/** @returns The number of bytes that complete a discarded character or sequence; the parser follows them. */
function skipUnfinished(parser: OutputParser, bytes: Uint8Array): number {
  const most = Math.min(bytes.length, MAX_SKIPPED_BYTES);
  for (let at = 0; at < most; at++) {
    if (parser.between && !isContinuation(bytes[at]!)) return at;
    parser.push(bytes.subarray(at, at + 1));
  }
  if (parser.between) return most;
  const whole = bytes.findIndex((byte) => !isContinuation(byte));
  return Math.max(0, whole);
}
