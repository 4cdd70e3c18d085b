/** Lets a limited number of holders in at once; further ones wait in order of arrival. */
export class Slots {
  readonly #capacity: () => number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /** @param capacity Asked each time, because it may become known or change later. */
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
