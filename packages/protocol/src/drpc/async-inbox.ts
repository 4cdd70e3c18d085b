/** Messages between a synchronous producer and one asynchronous reader, bounded by pausing the producer. */

/** Waiting messages, and their bytes, above which the producer is paused. */
const MAX_MESSAGES = 64;
const MAX_BYTES = 1024 * 1024;

export interface InboxSource {
  pause(): void;
  resume(): void;
  /** The reader stopped early. */
  cancel(): void;
}

export class Inbox<T> implements AsyncIterableIterator<T, undefined> {
  readonly #source: InboxSource;
  #items: { readonly value: T; readonly lengthBytes: number }[] = [];
  #bytes = 0;
  #paused = false;
  #end: { readonly error?: unknown } | undefined;
  #reader: PromiseWithResolvers<IteratorResult<T, undefined>> | undefined;

  constructor(source: InboxSource) {
    this.#source = source;
  }

  push(value: T, lengthBytes: number): void {
    if (this.#end !== undefined) return;
    const reader = this.#reader;
    if (reader !== undefined) {
      this.#reader = undefined;
      reader.resolve({ value, done: false });
      return;
    }
    this.#items.push({ value, lengthBytes });
    this.#bytes += lengthBytes;
    if (!this.#paused && (this.#items.length >= MAX_MESSAGES || this.#bytes >= MAX_BYTES)) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** After the waiting messages, reading ends: with the error if there is one. */
  end(end: { readonly error?: unknown } = {}): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader === undefined) return;
    if ("error" in end) reader.reject(end.error);
    else reader.resolve({ value: undefined, done: true });
  }

  /** Reading ends now, without an error; waiting messages are dropped. */
  drop(): void {
    this.#items = [];
    this.#bytes = 0;
    this.end();
    this.#end = {};
  }

  /** One reader at a time: a second next() before the first has resolved is refused. */
  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#reader !== undefined) return Promise.reject(new Error("a message is being waited for already"));
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#bytes -= item.lengthBytes;
      if (this.#paused && this.#items.length <= MAX_MESSAGES / 2 && this.#bytes <= MAX_BYTES / 2) {
        this.#paused = false;
        this.#source.resume();
      }
      return Promise.resolve({ value: item.value, done: false });
    }
    if (this.#end !== undefined) {
      const end = this.#end;
      this.#end = {}; // an error is thrown once, as by a generator
      return "error" in end ? Promise.reject(end.error) : Promise.resolve({ value: undefined, done: true });
    }
    this.#reader = Promise.withResolvers();
    return this.#reader.promise;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (this.#end === undefined) this.#source.cancel();
    this.drop();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
