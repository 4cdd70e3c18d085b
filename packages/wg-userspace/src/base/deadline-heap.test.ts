import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Deadlined, DeadlineHeap } from "./deadline-heap.ts";
import { instant } from "./instant.ts";

describe("DeadlineHeap", () => {
  class Item implements Deadlined {
    heapIndex = -1;
    heapAt: number = Number.POSITIVE_INFINITY;
    at: number = Number.POSITIVE_INFINITY;
    nextTimeout(): number {
      return this.at;
    }
  }

  test("yields exactly the items that are due, whichever were moved before", () => {
    const step = fc.record({
      item: fc.nat(9),
      at: fc.oneof(fc.nat(100), fc.constant(Number.POSITIVE_INFINITY)),
      gone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(110), fc.boolean(), (steps, until, exactly) => {
        const heap = new DeadlineHeap<Item>();
        const items = Array.from({ length: 10 }, () => new Item());
        for (const { item, at, gone } of steps) {
          const target = items[item]!;
          target.at = at;
          if (gone) {
            target.at = Number.POSITIVE_INFINITY;
            heap.remove(target);
          } else {
            heap.update(target);
          }
        }
        const earliestAt = Math.min(...items.map((item) => item.at));
        expect(heap.next() ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(earliestAt);
        if (exactly) expect(heap.next(true) ?? Number.POSITIVE_INFINITY).toBe(earliestAt);
        const expected = items.filter((item) => item.at <= until);
        const taken: Item[] = [];
        for (;;) {
          const item = heap.takeExpired(instant(until));
          if (item === undefined) break;
          taken.push(item);
        }
        expect(new Set(taken)).toEqual(new Set(expected));
        expect(taken.length).toBe(expected.length);
        const rest = items.filter((item) => item.at > until && Number.isFinite(item.at)).map((item) => item.at);
        const next = heap.next() ?? Number.POSITIVE_INFINITY;
        expect(next).toBeGreaterThan(until);
        expect(next).toBeLessThanOrEqual(Math.min(...rest));
      }),
      { numRuns: 300 },
    );
  });

  test("a deadline that moves back costs nothing until the old one comes, and is not lost", () => {
    const heap = new DeadlineHeap<Item>();
    const item = new Item();
    item.at = 10;
    heap.update(item);
    item.at = 500;
    heap.update(item);
    expect(heap.next()).toBe(10);
    expect(heap.takeExpired(instant(10))).toBeUndefined();
    expect([heap.next(), heap.size]).toEqual([500, 1]);
    expect(heap.takeExpired(instant(500))).toBe(item);
    expect([heap.next(), heap.size]).toEqual([undefined, 0]);
  });
});
