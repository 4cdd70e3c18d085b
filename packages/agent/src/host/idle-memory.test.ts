import { expect, test } from "vitest";
import { IdleMemory } from "./idle-memory.ts";

test("memory is collected once after the start, and once after each time with sessions", () => {
  const collected: number[] = [];
  let report = 0;
  const memory = new IdleMemory(() => collected.push(report));
  for (const sessions of [0, 0, 1, 2, 0, 0, 0, 3, 0]) {
    report++;
    memory.note(sessions);
  }
  expect(collected).toEqual([1, 5, 9]);
});

test("what is unreachable is gone after a real collection", async () => {
  const gone = Promise.withResolvers<void>();
  const registry = new FinalizationRegistry(() => gone.resolve());
  registry.register({ large: new Array(1_000) }, undefined);
  new IdleMemory().note(0);
  await gone.promise;
});
