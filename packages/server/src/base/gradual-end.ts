/** Ends many connections over a period in random order, so that their clients return one by one and none is always the last. */
import { sleep } from "wg-userspace/async/abort";

/** One connection and the time of its end, counted from the beginning in ms. */
export interface Turn<Item> {
  readonly item: Item;
  readonly atMs: number;
}

/** Evenly spread turns in random order, the earliest first: the k-th of n falls in the k-th part of `withinMs`. */
export function turnsOf<Item>(items: Iterable<Item>, withinMs: number, random: () => number): Turn<Item>[] {
  const shuffled = [...items];
  for (let left = shuffled.length - 1; left > 0; left--) {
    const chosen = Math.floor(random() * (left + 1));
    [shuffled[left], shuffled[chosen]] = [shuffled[chosen]!, shuffled[left]!];
  }
  const part = withinMs / shuffled.length;
  return shuffled.map((item, at) => ({ item, atMs: part * (at + random()) }));
}

/** Runs `end` for each item at its turn; resolves after the last, or at once when `signal` is aborted. */
export async function endGradually<Item>(
  turns: readonly Turn<Item>[],
  end: (item: Item) => void,
  signal?: AbortSignal,
): Promise<void> {
  const beganAt = performance.now();
  for (const { item, atMs } of turns) {
    const waitMs = beganAt + atMs - performance.now();
    if (waitMs > 0) await pause(waitMs, signal);
    if (signal?.aborted === true) return;
    end(item);
  }
}

/** Resolves after a time, or at once when `signal` is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return sleep(ms, signal).catch(() => undefined); // aborted: the wait ends as well
}
