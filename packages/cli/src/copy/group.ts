/** Calls back once, when everything that was added has left, and so has the one that made the group. */
export class Group {
  readonly #onEmpty: () => void;
  #members = 1;

  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty;
  }

  add(): void {
    this.#members++;
  }

  leave(): void {
    if (--this.#members === 0) this.#onEmpty();
  }
}
