import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReplayWindow, WINDOW_SIZE } from "./replay-window.ts";

const LIMIT = 2n ** 64n - 2n ** 13n - 1n;

/** The reference model: all counters ever accepted, and the newest. */
class CounterSet {
  readonly #seen = new Set<bigint>();
  #newest = 0n;
  accept(counter: bigint): boolean {
    if (counter >= LIMIT || this.#newest - counter > BigInt(WINDOW_SIZE) || this.#seen.has(counter)) return false;
    this.#seen.add(counter);
    if (counter > this.#newest) this.#newest = counter;
    return true;
  }
}

function accept(window: ReplayWindow, counter: bigint): boolean {
  return window.accept(Number(counter & 0xffff_ffffn), Number(counter >> 32n));
}

describe("security 25: ReplayWindow", () => {
  test("spans 8128 counters", () => {
    expect(WINDOW_SIZE).toBe(8128);
  });

  test.each([
    ["from zero", 0n],
    ["where the low half rolls over", 2n ** 32n - 5000n],
    ["where numbers stop being exact", 2n ** 53n - 5000n],
    ["next to the limit", LIMIT - 20_000n],
  ])("behaves as a set of counters %s", (_name, start) => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: -20, max: 30 }) },
      { weight: 3, arbitrary: fc.integer({ min: -8200, max: 8200 }) },
      { weight: 1, arbitrary: fc.constantFrom(-8129, -8128, -8127, -64, -63, 63, 64, 8127, 8128, 8191, 8192, 8193) },
      { weight: 1, arbitrary: fc.integer({ min: -20_000, max: 20_000 }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const window = new ReplayWindow();
        const twin = new CounterSet();
        let newest = start;
        expect(accept(window, start)).toBe(twin.accept(start));
        for (const offset of steps) {
          const counter = newest + BigInt(offset);
          if (counter < 0n || counter >= 2n ** 64n) continue;
          const expected = twin.accept(counter);
          expect(accept(window, counter)).toBe(expected);
          if (expected && counter > newest) newest = counter;
        }
      }),
      { numRuns: 200 },
    );
  });

  test("forgets everything in one jump across the whole range", () => {
    const window = new ReplayWindow();
    for (let counter = 0n; counter < 100n; counter++) expect(accept(window, counter)).toBe(true);
    const far = 2n ** 63n + 7n;
    expect(accept(window, far)).toBe(true);
    expect(accept(window, far)).toBe(false);
    expect(accept(window, 50n)).toBe(false);
    expect(accept(window, far - 8128n)).toBe(true);
    expect(accept(window, far - 8129n)).toBe(false);
  });

  test("refuses counters from the message limit on and stays usable", () => {
    const window = new ReplayWindow();
    expect(accept(window, LIMIT)).toBe(false);
    expect(accept(window, 2n ** 64n - 1n)).toBe(false);
    expect(accept(window, 0n)).toBe(true);
    expect(accept(window, LIMIT - 1n)).toBe(true);
    expect(accept(window, LIMIT - 1n)).toBe(false);
  });
});
