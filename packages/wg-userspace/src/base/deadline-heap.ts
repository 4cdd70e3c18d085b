import { type Instant, instant } from "./instant.ts";

/** Something with a deadline that a DeadlineHeap orders. The two fields belong to the heap and start as -1 and Infinity. */
export interface Deadlined {
  heapIndex: number;
  heapAt: number;
  /** Infinity for never. */
  nextTimeout(): number;
}

/**
 * A binary heap of deadlines with lazy updates. A deadline that moves back, as retransmission and session timers do
 * with every packet, leaves the heap unchanged; the item is checked when its old deadline comes, and put back. So
 * thousands of connections or peers cost one comparison per packet.
 */
export class DeadlineHeap<T extends Deadlined> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /**
   * May be early, never late.
   * @param exact The result is not early either: deadlines that moved back are put in place first. For callers that
   * sleep until then.
   */
  next(exact = false): Instant | undefined {
    for (let first = this.#items[0]; first !== undefined; first = this.#items[0]) {
      if (!exact || first.nextTimeout() <= first.heapAt) return instant(first.heapAt);
      this.remove(first);
      this.update(first);
    }
    return undefined;
  }

  /** Must be called whenever the item's deadline may have moved closer. */
  update(item: T): void {
    const at = item.nextTimeout();
    if (at >= item.heapAt) return;
    item.heapAt = at;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
    }
    this.#up(item.heapIndex);
  }

  /** Removes one item whose deadline has really come; update() puts it back. */
  takeExpired(now: Instant): T | undefined {
    for (;;) {
      const first = this.#items[0];
      if (first === undefined || first.heapAt > now) return undefined;
      this.remove(first);
      if (first.nextTimeout() <= now) return first;
      this.update(first);
    }
  }

  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    item.heapAt = Number.POSITIVE_INFINITY;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#items[index] = last;
    last.heapIndex = index;
    this.#up(index);
    this.#down(last.heapIndex);
  }

  #up(start: number): void {
    const items = this.#items;
    let index = start;
    const item = items[index]!;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = items[parent]!;
      if (above.heapAt <= item.heapAt) break;
      items[index] = above;
      above.heapIndex = index;
      index = parent;
    }
    items[index] = item;
    item.heapIndex = index;
  }

  #down(start: number): void {
    const items = this.#items;
    let index = start;
    const item = items[index]!;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]!.heapAt < items[child]!.heapAt) child++;
      const below = items[child]!;
      if (below.heapAt >= item.heapAt) break;
      items[index] = below;
      below.heapIndex = index;
      index = child;
    }
    items[index] = item;
    item.heapIndex = index;
  }
}
