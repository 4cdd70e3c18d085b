/**
 * The last output of a terminal, for viewers that attach later. A small parser of terminal output tracks what was
 * discarded, so that a replay starts between characters and between escape sequences, not inside one.
 */
import { passive } from "./passive.ts";

const SCROLLBACK_BYTES = 64 * 1024;
/**
 * A sequence longer than this (an image, a program that never ends one) is shown truncated rather than hiding the rest.
 */
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

  /** Copied. */
  append(output: Uint8Array): void {
    const capacity = this.#ring.length;
    const surplus = Math.max(0, this.#length + output.length - capacity);
    const fromRing = Math.min(surplus, this.#length);
    for (let i = 0; i < fromRing; i++) this.#lost.next(this.#ring[(this.#start + i) % capacity]!);
    for (let i = 0; i < surplus - fromRing; i++) this.#lost.next(output[i]!);
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
   * What is kept, from the first byte at which a terminal may start, and without queries that a terminal would answer.
   */
  replay(): Uint8Array {
    const all = new Uint8Array(this.#length);
    const first = this.#ring.subarray(this.#start, this.#start + this.#length);
    all.set(first, 0);
    all.set(this.#ring.subarray(0, this.#length - first.length), first.length);
    return passive(all.subarray(this.#unfinished(all)));
  }

  /** Bytes at the start that complete a discarded character or sequence. */
  #unfinished(bytes: Uint8Array): number {
    const parser = this.#lost.clone();
    const most = Math.min(bytes.length, MAX_SKIPPED_BYTES);
    for (let at = 0; at < most; at++) {
      if (parser.between && !isContinuation(bytes[at]!)) return at;
      parser.next(bytes[at]!);
    }
    if (parser.between) return most;
    const whole = bytes.findIndex((byte) => !isContinuation(byte));
    return Math.max(0, whole);
  }
}

type State = "ground" | "escape" | "control" | "string";

/** State within a terminal's output: in text, in a character, or in an escape sequence (ECMA-48 §5, xterm's OSC). */
class OutputParser {
  #state: State = "ground";
  /** Bytes that the current character still lacks. */
  #needed = 0;

  /** Whether a terminal that has seen nothing before may start here. */
  get between(): boolean {
    return this.#state === "ground" && this.#needed === 0;
  }

  clone(): OutputParser {
    const copy = new OutputParser();
    copy.#state = this.#state;
    copy.#needed = this.#needed;
    return copy;
  }

  next(byte: number): void {
    if (byte === ESC) {
      this.#state = "escape";
      this.#needed = 0;
    } else if (byte === CAN || byte === SUB) this.#state = "ground";
    else if (this.#state === "ground") this.#character(byte);
    else if (this.#state === "escape") this.#afterEscape(byte);
    else if (this.#state === "string") {
      if (byte === BEL) this.#state = "ground";
    } else if (byte >= 0x40 && byte !== DEL) this.#state = "ground"; // final byte, or an invalid one
  }

  #character(byte: number): void {
    if (isContinuation(byte)) this.#needed = Math.max(0, this.#needed - 1);
    else
      this.#needed =
        byte >= 0xf0 && byte < 0xf8 ? 3 : byte >= 0xe0 && byte < 0xf0 ? 2 : byte >= 0xc2 && byte < 0xe0 ? 1 : 0;
  }

  #afterEscape(byte: number): void {
    if (byte < 0x30) return; // intermediate bytes, and controls that act within
    if (byte === 0x5b) this.#state = "control";
    // DCS, SOS, OSC, PM, APC: a string until BEL or ESC \
    else this.#state = [0x50, 0x58, 0x5d, 0x5e, 0x5f].includes(byte) ? "string" : "ground";
  }
}

const BEL = 0x07;
const CAN = 0x18;
const SUB = 0x1a;
const ESC = 0x1b;
const DEL = 0x7f;

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
