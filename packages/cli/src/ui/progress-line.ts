/** A line on stderr that is rewritten in place; nothing is written without a terminal. */
export class ProgressLine {
  readonly #live: boolean;
  #shown = false;

  constructor(live: boolean) {
    this.#live = live;
  }

  set(text: string): void {
    if (!this.#live) return;
    this.#shown = true;
    const columns = process.stderr.columns ?? 80;
    process.stderr.write(`\r\u001b[K${[...text].slice(0, columns - 1).join("")}`);
  }

  clear(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K");
    this.#shown = false;
  }
}
