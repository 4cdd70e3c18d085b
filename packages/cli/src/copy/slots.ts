/** At most so many at once; further ones wait in the order in which they came. */
export class Slots {
  readonly #capacity: () => number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /** @param capacity Asked each time, because it may become known, or change, meanwhile. */
  constructor(capacity: () => number) {
    this.#capacity = capacity;
  }

  get taken(): number {
    return this.#taken;
  }

  tryTake(): boolean {
    if (this.#waiting.length > 0 || this.#taken >= this.#capacity()) return false;
    this.#taken++;
    return true;
  }

  take(): Promise<void> {
    if (this.tryTake()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  release(): void {
    this.#taken--;
    while (this.#waiting.length > 0 && this.#taken < this.#capacity()) {
      this.#taken++;
      this.#waiting.shift()!();
    }
  }
}
