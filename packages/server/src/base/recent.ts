/**
 * Keeps results of look-ups for a short time. A page of a development server requests hundreds of files at once, and each request
 * needs the same few rows. Everything is forgotten when something changes that a result may depend on.
 */
const KEEP_MS = 1_000;
const MAX_ENTRIES = 10_000;

interface Entry<Value> {
  readonly value: Promise<Value | undefined>;
  readonly at: number;
}

export class Recent<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #now: () => number;

  /** @param now In milliseconds; monotonic. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Combines simultaneous look-ups of one key. Only a result that was found is kept; "not found" and failures are not. */
  get(key: string, lookUp: () => Promise<Value | undefined>): Promise<Value | undefined> {
    const at = this.#now();
    const kept = this.#entries.get(key);
    if (kept !== undefined && at - kept.at < KEEP_MS) return kept.value;
    if (this.#entries.size >= MAX_ENTRIES) this.forget();
    const entry = { value: lookUp(), at };
    this.#entries.set(key, entry);
    const drop = (): void => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    };
    entry.value.then((value) => value === undefined && drop(), drop);
    return entry.value;
  }

  /** Also forgets look-ups in progress: they may have read the data before the change. */
  forget(): void {
    this.#entries.clear();
  }
}
