import { expect, test } from "vitest";
import { ReadyQueue } from "./ready-queue.ts";

const item = (name: number) => ({ name, queuedReady: false });

test("items take turns in the order in which they came, and are in the queue once", () => {
  const queue = new ReadyQueue<ReturnType<typeof item>>();
  const [a, b] = [item(1), item(2)];
  for (const one of [a, b, a]) queue.add(one);
  expect([a.queuedReady, queue.take(), a.queuedReady]).toEqual([true, a, false]);
  queue.add(a);
  expect([queue.take(), queue.take(), queue.take()]).toEqual([b, a, undefined]);
  queue.add(b);
  expect(queue.take()).toBe(b);
});

test("an item that is put back has the next turn", () => {
  const queue = new ReadyQueue<ReturnType<typeof item>>();
  const [a, b] = [item(1), item(2)];
  queue.add(a);
  queue.add(b);
  queue.putBack(queue.take()!);
  queue.add(a);
  expect([a.queuedReady, queue.take(), queue.take(), queue.take()]).toEqual([true, a, b, undefined]);
});

test("a queue that never empties loses no turn", () => {
  const queue = new ReadyQueue<ReturnType<typeof item>>();
  const items = Array.from({ length: 700 }, (_, name) => item(name));
  for (const one of items) queue.add(one);
  for (let turn = 0; turn < 5_000; turn++) {
    const taken = queue.take()!;
    expect(taken.name).toBe(turn % items.length);
    queue.add(taken);
  }
});
