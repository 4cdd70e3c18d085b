/**
 * Data that a page shows and that changes: loaded once, kept current by its source, shared by all viewers of the same key, and
 * dropped some time after the last viewer has left. The source decides where changes come from.
 */
import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { ApiError } from "../api/client.ts";

export interface Source<T> {
  /** Data that is there from the beginning. Called once, when the resource is made. */
  first?(): T | undefined;
  /** Absent when all data comes from `watch`. */
  readonly load?: ((signal: AbortSignal) => Promise<T>) | undefined;
  /** `load` runs only when `watch` or the user requests it. */
  readonly watchFirst?: true;
  /** Keeps the data current until the signal aborts. Called at once. */
  watch?(changes: Changes<T>, signal: AbortSignal): void;
  /** Keeps the data current like `watch`, but is called after the first load, with its result. */
  follow?(changes: Changes<T>, signal: AbortSignal, first: T): void;
}

/** Delivers new data, or requests another load. */
export interface Changes<T> {
  deliver(data: T): void;
  /** There is no data, or no longer any. */
  fail(error: ApiError): void;
  reload(): void;
}

export interface Resource<T> {
  readonly data: ReadonlySignal<T | undefined>;
  /** Error of the latest load; earlier data stays. */
  readonly error: ReadonlySignal<ApiError | undefined>;
  readonly reload: () => void;
}

/** How long data outlives its last viewer, so that going back to a page shows it at once. */
const KEEP_MS = 30_000;
/** When what failed for a temporary reason is repeated. */
export const RETRY_MS = 5_000;

/** One resource, active between the first `enter` and the last `leave`. */
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

  /**
   * A load requested during another one follows it; at most one is pending. A field, because pages use it detached from the
   * resource.
   */
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
      // Also needed when viewers entered while the load of an earlier life was ending.
      if (this.#again || (life.aborted && this.#life !== undefined)) this.reload();
    });
  };

  constructor(source: Source<T>) {
    this.#source = source;
    this.data.value = source.first?.();
  }

  enter(): void {
    if (++this.#viewers > 1) return;
    clearTimeout(this.#timer);
    this.#life = new AbortController();
    this.#following = false;
    if (this.#source.watchFirst !== true) this.reload();
    this.#source.watch?.(this.#changes(this.#life.signal), this.#life.signal);
  }

  /** `remove` is called when there has been no viewer for some time. */
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
      if (!error.isTemporary) return;
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

/** The resource of this key, while the component is mounted. The first caller provides the source. */
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
