/** Stores choices that were made here in the account, and keeps an older state of the account from undoing them. */

/** Several choices in a row are stored once. */
const STORE_AFTER_MS = 800;

export class UnsavedChoices {
  readonly #store: () => Promise<unknown>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unsaved = false;
  #storing = false;
  #stopped = false;

  constructor(store: () => Promise<unknown>) {
    this.#store = store;
  }

  /** A choice was made here. */
  changed(): void {
    this.#unsaved = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#save(), STORE_AFTER_MS);
  }

  /** The account's state arrived. Returns whether it counts; if not, what is unsaved is stored again. */
  mayAdopt(): boolean {
    if (!this.#unsaved && !this.#storing) return true;
    if (this.#timer === undefined) void this.#save();
    return false;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #save(): Promise<void> {
    this.#timer = undefined;
    if (this.#storing || this.#stopped) return;
    this.#storing = true;
    this.#unsaved = false;
    let stored = false;
    try {
      await this.#store();
      stored = true;
    } catch {
      // Kept in this browser in any case, and stored when the account's state arrives next, or with the next choice.
      this.#unsaved = true;
    }
    this.#storing = false;
    // A choice that came due meanwhile.
    if (stored && this.#unsaved && this.#timer === undefined) await this.#save();
  }
}
