import { cut } from "../base/text.ts";

/** Registers a function that restores the terminal even when the process is about to be terminated. */
export type WhenEndedAtOnce = (restore: () => void) => Disposable;

const LEAVE = "\u001b[?25h\u001b[?1049l";

/** Redraws a text in place on the terminal's alternate screen, which leaves nothing behind. */
export class LiveScreen implements Disposable {
  readonly #stream: NodeJS.WriteStream;
  readonly #leaving: Disposable;

  constructor(stream: NodeJS.WriteStream, whenEndedAtOnce: WhenEndedAtOnce) {
    this.#stream = stream;
    this.#leaving = whenEndedAtOnce(() => stream.write(LEAVE));
    stream.write("\u001b[?1049h\u001b[?25l");
  }

  /** Lines beyond the window are left out. */
  draw(text: string): void {
    const rows = this.#stream.rows ?? 24;
    const columns = this.#stream.columns ?? 80;
    const lines = text.split("\n").slice(0, rows - 1);
    const clipped = lines.map((line) => `${cut(line, columns)[0]}\u001b[0m\u001b[K`);
    // One write, with the cursor home first and the rest cleared last, avoids flicker.
    this.#stream.write(`\u001b[H${clipped.join("\n")}\u001b[J`);
  }

  [Symbol.dispose](): void {
    this.#leaving[Symbol.dispose]();
    this.#stream.write(LEAVE);
  }
}
