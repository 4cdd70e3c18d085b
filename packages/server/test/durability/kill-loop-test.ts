import { expect, test } from "vitest";
import { runKillLoop } from "./kill-loop.ts";

/** Ten kills; each test file takes a seed of its own, and with it another order of writes. */
export function testKillLoop(seed: number): void {
  test("every answered write survives kill -9 of the server process, and the database stays sound", async () => {
    const result = await runKillLoop({ kills: 10, seed });
    expect(result.problems, `seed ${seed}`).toEqual([]);
    expect(result.kills).toBe(10);
    // The loop must have written something and died in the middle of it, or it proves nothing.
    expect(result.answered).toBeGreaterThan(5);
    expect(result.interrupted).toBeGreaterThan(10);
  });
}
