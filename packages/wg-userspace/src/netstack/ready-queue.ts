/** Taken items are removed from the front of the list once there are this many. */
const COMPACT_AT = 1024;

/** The connections that have something to send, in the order of their turns; each is in it once. */
export class ReadyQueue<Item extends { queuedReady: boolean }> {
  readonly #items: Item[] = [];
  #head = 0;

  add(item: Item): void {
    if (item.queuedReady) return;
    item.queuedReady = true;
    this.#items.push(item);
    // Under steady load the queue never empties, so taken items are also removed here.
    if (this.#head >= COMPACT_AT && 2 * this.#head > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
  }

  take(): Item | undefined {
    if (this.#head < this.#items.length) {
      const item = this.#items[this.#head++]!;
      item.queuedReady = false;
      return item;
    }
    this.#items.length = this.#head = 0;
    return undefined;
  }

  /** Puts the item taken last back to the front: it keeps its turn. Call before anything else is added. */
  putBack(item: Item): void {
    item.queuedReady = true;
    this.#items[--this.#head] = item;
  }
}
