/** Calls back once, after every added member and the creator have left. */
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
