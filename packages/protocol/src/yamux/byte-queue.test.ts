import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteQueue } from "./byte-queue.ts";

test("a byte queue gives the bytes back in order, in any pattern of appending and taking", () => {
  const step = fc.oneof(
    fc.uint8Array({ minLength: 0, maxLength: 600 }).map((bytes) => ({ kind: "append" as const, bytes })),
    fc.integer({ min: 0, max: 900 }).map((max) => ({ kind: "take" as const, max })),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new ByteQueue();
      let twin: number[] = [];
      for (const one of steps) {
        if (one.kind === "append") {
          queue.append(one.bytes);
          twin.push(...one.bytes);
          one.bytes.fill(0xa5); // borrowed: the queue must have copied
        } else {
          const taken = queue.take(one.max);
          expect([...(taken ?? [])]).toEqual(twin.slice(0, one.max));
          twin = twin.slice(one.max);
        }
        expect(queue.length).toBe(twin.length);
      }
    }),
    { numRuns: 200 },
  );
});

test("taken bytes do not change when more is appended", () => {
  const queue = new ByteQueue();
  queue.append(Uint8Array.of(1, 2, 3));
  const taken = queue.take(2)!;
  queue.append(new Uint8Array(300).fill(9));
  queue.take(1_000)!.fill(7);
  expect([...taken]).toEqual([1, 2]);
});

test("clearing forgets everything", () => {
  const queue = new ByteQueue();
  queue.append(new Uint8Array(1000));
  queue.clear();
  expect(queue.length).toBe(0);
  expect(queue.take(10)).toBeUndefined();
});
