import { expect, test } from "vitest";
import { runKillLoop } from "./kill-loop.ts";

test("every answered write survives kill -9 of the server process, and the database stays sound", {
  timeout: 120_000,
}, async () => {
  const seed = 7;
  const result = await runKillLoop({ kills: 20, seed });
  expect(result.problems, `seed ${seed}`).toEqual([]);
  expect(result.kills).toBe(20);
  // The loop must have written something and died in the middle of it, or it proves nothing.
  expect(result.answered).toBeGreaterThan(10);
  expect(result.interrupted).toBeGreaterThan(20);
});
