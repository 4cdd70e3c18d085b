/**
 * What was looked up a moment ago. A page of a development server asks for hundreds of files at once, and each request needs the
 * same few rows. Everything is forgotten when something changes that an answer may rest on.
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

  /** @param now In milliseconds; never goes back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Looks up once what several ask for at the same time. Only what was found is kept, and not a failure. */
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

  /** Also what is being looked up: it may have been read before the change. */
  forget(): void {
    this.#entries.clear();
  }
}
