/**
 * Follows a program's output as far as later viewers of the terminal depend on it: whether it is inside a character or a sequence
 * (ECMA-48 §5, xterm's OSC), which modes are on, the title (OSC 0, 2) and the directory (OSC 7).
 */
import { Modes } from "./modes.ts";

type State = "ground" | "escape" | "control" | "osc" | "string";

const BEL = 0x07;
const CAN = 0x18;
const SUB = 0x1a;
const ESC = 0x1b;
const DEL = 0x7f;
/** Longer parameters and strings are followed, but have no effect here. */
const MAX_CONTROL = 128;
const MAX_OSC = 4096;

export class OutputParser {
  readonly modes: Modes;
  /** As the program set it; it may contain anything. */
  title = "";
  /** A `file:` URL, or empty. */
  directory = "";
  #state: State = "ground";
  /** Bytes still missing from the current character. */
  #needed = 0;
  /** Content of the current sequence. */
  #body: number[] = [];

  constructor(modes: Modes = new Modes()) {
    this.modes = modes;
  }

  /** Whether a new terminal may start here. */
  get between(): boolean {
    return this.#state === "ground" && this.#needed === 0;
  }

  clone(): OutputParser {
    const copy = new OutputParser(this.modes.clone());
    copy.title = this.title;
    copy.directory = this.directory;
    copy.#state = this.#state;
    copy.#needed = this.#needed;
    copy.#body = [...this.#body];
    return copy;
  }

  push(output: Uint8Array): void {
    for (let at = 0; at < output.length; ) {
      if (this.#state === "ground") {
        const next = output.indexOf(ESC, at);
        const end = next < 0 ? output.length : next;
        this.#text(output, at, end);
        if (next < 0) return;
        at = end;
      } else if (this.#state === "string" || this.#body.length > MAX_OSC) {
        // An image, or a string without an end: only its end matters.
        while (at < output.length && !isStringEnd(output[at]!)) at++;
        if (at === output.length) return;
      }
      this.#sequence(output[at++]!);
    }
  }

  /** Text without sequences: only the character at its end matters. */
  #text(output: Uint8Array, start: number, end: number): void {
    let from = start;
    if (end - start > 3) {
      from = end - 3;
      this.#needed = 0;
    }
    for (let at = from; at < end; at++) {
      const byte = output[at]!;
      if (isContinuation(byte)) this.#needed = Math.max(0, this.#needed - 1);
      else this.#needed = byte >= 0xf8 ? 0 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc2 ? 1 : 0;
    }
  }

  #sequence(byte: number): void {
    if (byte === ESC) {
      // The start of another sequence ends a string; terminals then act on what they have received.
      if (this.#state === "osc") this.#operatingSystemCommand();
      this.#needed = 0;
      this.#enter("escape");
    } else if (byte === CAN || byte === SUB) this.#enter("ground");
    else if (this.#state === "escape") this.#afterEscape(byte);
    else if (this.#state === "control") this.#control(byte);
    else if (byte === BEL) {
      if (this.#state === "osc") this.#operatingSystemCommand();
      this.#enter("ground");
    } else if (this.#state === "osc" && this.#body.length <= MAX_OSC) this.#body.push(byte);
  }

  #enter(state: State): void {
    this.#state = state;
    this.#body = [];
  }

  #afterEscape(byte: number): void {
    if (byte < 0x20) return; // controls act within a sequence
    if (byte < 0x30) {
      this.#body.push(byte); // an intermediate byte
      return;
    }
    if (byte === 0x5b) this.#enter("control");
    else if (byte === 0x5d) this.#enter("osc");
    // DCS, SOS, PM, APC: a string until BEL or ESC \
    else if (byte === 0x50 || byte === 0x58 || byte === 0x5e || byte === 0x5f) this.#enter("string");
    else {
      if (this.#body.length === 0) this.modes.escape(String.fromCharCode(byte));
      this.#enter("ground");
    }
  }

  #control(byte: number): void {
    if (byte < 0x40 || byte === DEL) {
      if (byte >= 0x20 && byte < 0x40 && this.#body.length <= MAX_CONTROL) this.#body.push(byte);
      return;
    }
    if (byte < DEL && this.#body.length <= MAX_CONTROL)
      this.modes.control(String.fromCharCode(...this.#body), String.fromCharCode(byte));
    this.#enter("ground");
  }

  #operatingSystemCommand(): void {
    if (this.#body.length > MAX_OSC) return;
    const [, number, text] = /^(\d{1,4});(.*)$/s.exec(Buffer.from(this.#body).toString("utf8")) ?? [];
    if (number === "0" || number === "2") this.title = text!;
    if (number === "7") this.directory = text!;
  }
}

function isStringEnd(byte: number): boolean {
  return byte === ESC || byte === BEL || byte === CAN || byte === SUB;
}

export function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
