import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { UnsavedChoices } from "./unsaved-choices.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Each store waits for `end`. */
function setUp() {
  const ends: ((failure?: Error) => void)[] = [];
  const unsaved = new UnsavedChoices(
    () => new Promise<void>((resolve, reject) => ends.push((failure) => (failure ? reject(failure) : resolve()))),
  );
  return {
    unsaved,
    stores: () => ends.length,
    end: async (failure?: Error) => {
      ends.at(-1)?.(failure);
      await vi.advanceTimersByTimeAsync(0);
    },
  };
}

test("several choices in a row are stored once, and nothing older undoes them meanwhile", async () => {
  const { unsaved, stores, end } = setUp();
  expect(unsaved.mayAdopt()).toBe(true);
  unsaved.changed();
  vi.advanceTimersByTime(500);
  unsaved.changed();
  expect([unsaved.mayAdopt(), stores()]).toEqual([false, 0]);
  vi.advanceTimersByTime(800);
  expect([unsaved.mayAdopt(), stores()]).toEqual([false, 1]);
  await end();
  expect([unsaved.mayAdopt(), stores()]).toEqual([true, 1]);
});

test("a choice that was not stored stays, and is stored again with the account's next state", async () => {
  const { unsaved, stores, end } = setUp();
  unsaved.changed();
  vi.advanceTimersByTime(800);
  await end(new Error("the server cannot be reached"));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(stores()).toBe(1);
  expect([unsaved.mayAdopt(), stores()]).toEqual([false, 2]);
  // The answer to the store itself does not cause another one.
  expect([unsaved.mayAdopt(), stores()]).toEqual([false, 2]);
  await end();
  expect(unsaved.mayAdopt()).toBe(true);
});

test("a choice during a store is stored after it, unless the login ended", async () => {
  const { unsaved, stores, end } = setUp();
  unsaved.changed();
  vi.advanceTimersByTime(800);
  unsaved.changed();
  vi.advanceTimersByTime(800);
  expect(stores()).toBe(1);
  await end();
  expect([unsaved.mayAdopt(), stores()]).toEqual([false, 2]);
  unsaved.changed();
  vi.advanceTimersByTime(800);
  unsaved.stop();
  await end();
  expect(stores()).toBe(2);
});
