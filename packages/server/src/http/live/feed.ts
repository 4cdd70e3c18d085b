import { changedKeys, type Entries, patchBodies } from "./entries.ts";

/** Supplies the data of one topic with its arguments. */
export interface FeedSource {
  /** Undefined if the data no longer exists. Never called concurrently. */
  read(): Promise<Entries | undefined>;
  /** Calls `changed` after each change, until the returned function is called. */
  watch?(changed: () => void): () => void;
  /** Interval after which the data is read again even without a change. */
  readonly everyMs?: number | undefined;
}

/** A subscriber of a feed. */
export interface FeedReader {
  /** `keys` changed; `bodies` are the messages about them, the same texts for every reader. */
  changed(keys: readonly string[], bodies: readonly string[]): void;
  /** The feed has ended. */
  ended(why: "gone" | "failed"): void;
}

/**
 * Pause after a read, in times of what it took with its delivery: changes in quick succession cause a single read, and the feed
 * uses a fifth of the time at most. A lone viewer of a small list waits hardly at all.
 */
const GAP_TIMES = 4;
const MIN_GAP_MS = 10;
const MAX_GAP_MS = 50;

const NOTHING: Entries = new Map();

/** The data of one topic for all users who may see the same: read once, however many subscribers there are. */
export class Feed {
  readonly source: FeedSource;
  readonly #onError: (error: unknown) => void;
  readonly #onIdle: () => void;
  readonly #readers = new Set<FeedReader>();
  #leave: (() => void) | undefined;
  #interval: NodeJS.Timeout | undefined;
  #gap: NodeJS.Timeout | undefined;
  #running = false;
  #dirty = false;
  #ended = false;
  #first: Promise<void> | undefined;
  #entries: Entries = NOTHING;
  #rev = 0;

  constructor(source: FeedSource, callbacks: { onError: (error: unknown) => void; onIdle: () => void }) {
    this.source = source;
    this.#onError = callbacks.onError;
    this.#onIdle = callbacks.onIdle;
  }

  get entries(): Entries {
    return this.#entries;
  }

  get rev(): number {
    return this.#rev;
  }

  /** Resolves when there is data, or the feed has ended. The reader is informed of changes after that. */
  async join(reader: FeedReader): Promise<void> {
    this.#readers.add(reader);
    if (this.#first === undefined) {
      // Before the first read, so that a change meanwhile causes a second one.
      this.#leave = this.source.watch?.(() => this.#trigger());
      const { everyMs } = this.source;
      if (everyMs !== undefined) this.#interval = setInterval(() => this.#trigger(), everyMs).unref();
      this.#running = true;
      this.#first = this.#readAndRest();
    }
    await this.#first;
  }

  leave(reader: FeedReader): void {
    if (!this.#readers.delete(reader) || this.#readers.size > 0 || this.#ended) return;
    this.#stop();
    this.#onIdle();
  }

  #trigger(): void {
    this.#dirty = true;
    if (this.#running || this.#ended) return;
    this.#running = true;
    this.#dirty = false;
    void this.#readAndRest();
  }

  async #readAndRest(): Promise<void> {
    const started = performance.now();
    await this.#read();
    this.#rest((performance.now() - started) * GAP_TIMES);
  }

  async #read(): Promise<void> {
    try {
      const entries = await this.source.read();
      if (this.#ended) return;
      if (entries === undefined) this.#end("gone");
      else this.#deliver(entries);
    } catch (error) {
      if (this.#ended) return;
      this.#onError(error);
      this.#end("failed");
    }
  }

  #rest(ms: number): void {
    if (this.#ended) return;
    this.#gap = setTimeout(
      () => {
        this.#running = false;
        if (this.#dirty) this.#trigger();
      },
      Math.min(MAX_GAP_MS, Math.max(MIN_GAP_MS, ms)),
    ).unref();
  }

  #deliver(entries: Entries): void {
    const keys = changedKeys(this.#entries, entries);
    this.#entries = entries;
    if (keys.length === 0) return;
    this.#rev++;
    const bodies = patchBodies(this.#rev, entries, keys);
    for (const reader of [...this.#readers]) reader.changed(keys, bodies);
  }

  #end(why: "gone" | "failed"): void {
    this.#stop();
    const readers = [...this.#readers];
    this.#readers.clear();
    this.#onIdle();
    for (const reader of readers) reader.ended(why);
  }

  #stop(): void {
    this.#ended = true;
    this.#leave?.();
    clearInterval(this.#interval);
    clearTimeout(this.#gap);
  }
}

/** The feeds that have subscribers, by topic and viewer. */
export class Feeds {
  readonly #feeds = new Map<string, Feed>();
  readonly #onError: (key: string, error: unknown) => void;

  constructor(onError: (key: string, error: unknown) => void) {
    this.#onError = onError;
  }

  get size(): number {
    return this.#feeds.size;
  }

  /** The feed of this key. Call `join` at once, because a feed without readers is never removed. */
  open(key: string, source: () => FeedSource): Feed {
    const known = this.#feeds.get(key);
    if (known !== undefined) return known;
    const feed: Feed = new Feed(source(), {
      onError: (error) => this.#onError(key, error),
      onIdle: () => {
        if (this.#feeds.get(key) === feed) this.#feeds.delete(key);
      },
    });
    this.#feeds.set(key, feed);
    return feed;
  }
}
