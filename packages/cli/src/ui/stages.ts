import { printable } from "../base/text.ts";

/** Shows on stderr which stage of connecting takes time: after a short delay, and only until it is done. */
const SHOW_AFTER_MS = 400;

export class StageLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #live: boolean;
  #timer: NodeJS.Timeout | undefined;
  #shown = false;
  #last = "";

  /** @param live Whether the stream is a terminal. */
  constructor(stream: NodeJS.WriteStream, live: boolean) {
    this.#stream = stream;
    this.#live = live;
  }

  set(text: string): void {
    if (text === this.#last) return;
    this.#last = text;
    if (!this.#live) return;
    if (this.#shown) this.#draw();
    else this.#timer ??= setTimeout(() => this.#draw(), SHOW_AFTER_MS);
  }

  /** Removes the line. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#shown) this.#stream.write("\r\u001b[K");
    this.#shown = false;
  }

  #draw(): void {
    this.#shown = true;
    this.#stream.write(`\r\u001b[K${printable(this.#last)} …`);
  }
}
