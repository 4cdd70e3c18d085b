/**
 * Data that a page shows and that changes: loaded once, kept current by its source, shared by everything that asks for the
 * same key, and dropped a while after nothing shows it any more. Where the changes come from is the source's affair.
 */
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { ApiError } from "../api/client.ts";

export interface Source<T> {
  /** Absent: all data come from `watch`. */
  readonly load?: ((signal: AbortSignal) => Promise<T>) | undefined;
  /** `load` is only for when `watch` or a person asks for it. */
  readonly watchFirst?: true;
  /** Keeps the data current until the signal aborts. Called at once. */
  watch?(changes: Changes<T>, signal: AbortSignal): void;
  /** Keeps the data current like `watch`, but is called after the first load, with what it found. */
  follow?(changes: Changes<T>, signal: AbortSignal, first: T): void;
}

/** New data, or the advice to load again. */
export interface Changes<T> {
  deliver(data: T): void;
  /** There are no data, or no more. */
  fail(error: ApiError): void;
  reload(): void;
}

export interface Resource<T> {
  readonly data: ReadonlySignal<T | undefined>;
  /** Of the latest load; the data of before stays. */
  readonly error: ReadonlySignal<ApiError | undefined>;
  readonly reload: () => void;
}

/** How long data outlives its last viewer: going back to a page shows it at once. */
const KEEP_MS = 30_000;
/** A load that failed for a passing reason is repeated. */
const RETRY_MS = 5_000;

/** One resource; alive between the first `enter` and the last `leave`. */
export class LiveResource<T> implements Resource<T> {
  readonly data: Signal<T | undefined> = signal(undefined);
  readonly error: Signal<ApiError | undefined> = signal(undefined);
  readonly #source: Source<T>;
  #life: AbortController | undefined;
  #following = false;
  #loading = false;
  #again = false;
  #viewers = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** A load that is asked for while one is under way follows it; there is never a queue. Pages take it apart from its resource. */
  readonly reload = (): void => {
    const life = this.#life?.signal;
    if (life === undefined || this.#source.load === undefined) return;
    if (this.#loading) {
      this.#again = true;
      return;
    }
    this.#loading = true;
    this.#again = false;
    void this.#load(life).finally(() => {
      this.#loading = false;
      // Also for those who entered while the load of an earlier life was ending.
      if (this.#again || (life.aborted && this.#life !== undefined)) this.reload();
    });
  };

  constructor(source: Source<T>) {
    this.#source = source;
  }

  enter(): void {
    if (++this.#viewers > 1) return;
    clearTimeout(this.#timer);
    this.#life = new AbortController();
    this.#following = false;
    if (this.#source.watchFirst !== true) this.reload();
    this.#source.watch?.(this.#changes(this.#life.signal), this.#life.signal);
  }

  /** `remove` is called when there has been no viewer for a while. */
  leave(remove: () => void): void {
    if (--this.#viewers > 0) return;
    this.#life?.abort();
    this.#life = undefined;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(remove, KEEP_MS);
  }

  async #load(life: AbortSignal): Promise<void> {
    try {
      const data = await this.#source.load?.(life);
      if (life.aborted || data === undefined) return;
      this.#deliver(data, life);
      if (this.#following) return;
      this.#following = true;
      this.#source.follow?.(this.#changes(life), life, data);
    } catch (error) {
      if (life.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error.value = error;
      if (this.#source.watchFirst === true) return;
      if (error.status !== 0 && error.status !== 429 && error.status < 500) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.reload(), RETRY_MS);
    }
  }

  #changes(life: AbortSignal): Changes<T> {
    return {
      deliver: (data) => this.#deliver(data, life),
      fail: (error) => {
        if (!life.aborted) this.error.value = error;
      },
      reload: () => this.reload(),
    };
  }

  #deliver(data: T, life: AbortSignal): void {
    if (life.aborted) return;
    this.data.value = data;
    this.error.value = undefined;
  }
}

const resources = new Map<string, LiveResource<unknown>>();

/** The resource of this key, for as long as the component is mounted. The first to ask brings the source. */
export function useResource<T>(key: string, source: Source<T>): Resource<T> {
  const resource = useMemo(() => {
    const known = (resources.get(key) as LiveResource<T> | undefined) ?? new LiveResource(source);
    resources.set(key, known as LiveResource<unknown>);
    return known;
  }, [key]);
  useEffect(() => {
    resource.enter();
    return () =>
      resource.leave(() => {
        if (resources.get(key) === (resource as LiveResource<unknown>)) resources.delete(key);
      });
  }, [resource, key]);
  return resource;
}
