import { type Instant, instant } from "../base/instant.ts";

/** Something with a deadline. The two fields belong to the queue and start as -1 and Infinity. */
export interface Deadlined {
  queueIndex: number;
  queueAt: number;
  /** Infinity: never. */
  nextTimeout(): number;
}

/**
 * A binary heap of deadlines that is lazy in one direction: a deadline that moves later, as most do with every packet,
 * leaves the heap alone; the item is looked at when its old deadline comes, and put back. A packet costs one comparison.
 */
export class DeadlineQueue<T extends Deadlined> {
  readonly #items: T[] = [];

  /** May be early, never late. */
  next(): Instant | undefined {
    const first = this.#items[0];
    return first === undefined ? undefined : instant(first.queueAt);
  }

  /** To be called when the item's deadline may have come closer. */
  update(item: T): void {
    const at = item.nextTimeout();
    if (at >= item.queueAt) return;
    item.queueAt = at;
    if (item.queueIndex < 0) {
      item.queueIndex = this.#items.length;
      this.#items.push(item);
    }
    this.#rise(item);
  }

  /** Takes out one item whose deadline has come; update() puts it back. */
  takeExpired(now: Instant): T | undefined {
    for (;;) {
      const first = this.#items[0];
      if (first === undefined || first.queueAt > now) return undefined;
      this.remove(first);
      if (first.nextTimeout() <= now) return first;
      this.update(first);
    }
  }

  remove(item: T): void {
    const index = item.queueIndex;
    if (index < 0) return;
    item.queueIndex = -1;
    item.queueAt = Number.POSITIVE_INFINITY;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#place(last, index);
    this.#rise(last);
    this.#sink(last);
  }

  #place(item: T, index: number): void {
    this.#items[index] = item;
    item.queueIndex = index;
  }

  #rise(item: T): void {
    while (item.queueIndex > 0) {
      const index = item.queueIndex;
      const above = this.#items[(index - 1) >> 1]!;
      if (above.queueAt <= item.queueAt) return;
      this.#place(item, (index - 1) >> 1);
      this.#place(above, index);
    }
  }

  #sink(item: T): void {
    for (;;) {
      const index = item.queueIndex;
      const left = this.#items[2 * index + 1];
      const right = this.#items[2 * index + 2];
      if (left === undefined) return;
      const below = right !== undefined && right.queueAt < left.queueAt ? right : left;
      if (below.queueAt >= item.queueAt) return;
      this.#place(item, below.queueIndex);
      this.#place(below, index);
    }
  }
}
