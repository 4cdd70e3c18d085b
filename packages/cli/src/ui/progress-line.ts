/** A line on stderr that is rewritten in place; nothing where stderr is no terminal. */
export class ProgressLine {
  #shown = false;

  set(text: string): void {
    if (process.stderr.isTTY !== true) return;
    this.#shown = true;
    const columns = process.stderr.columns ?? 80;
    process.stderr.write(`\r\u001b[K${[...text].slice(0, columns - 1).join("")}`);
  }

  clear(): void {
    if (this.#shown) process.stderr.write("\r\u001b[K");
    this.#shown = false;
  }
}
