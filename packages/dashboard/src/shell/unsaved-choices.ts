/** Stores choices made here in the account, and prevents an older state of the account from undoing them. */

/** Combines several choices in a row into one request. */
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

  /** The account's state has arrived. Returns whether to adopt it; if not, unsaved choices are stored again. */
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
      // The choice stays in this browser, and is stored when the account's state arrives next, or with the next choice.
      this.#unsaved = true;
    }
    this.#storing = false;
    // A choice that was due in the meantime.
    if (stored && this.#unsaved && this.#timer === undefined) await this.#save();
  }
}
