import { expect, test } from "vitest";
import { runKillLoop } from "./kill-loop.ts";

/** Ten kills; each test file uses its own seed, and so a different order of writes. */
export function testKillLoop(seed: number): void {
  test("every answered write survives kill -9 of the server process, and the database stays sound", async () => {
    const result = await runKillLoop({ kills: 10, seed });
    expect(result.problems, `seed ${seed}`).toEqual([]);
    expect(result.kills).toBe(10);
    // Without answered writes and kills in the middle of a write, the loop would prove nothing.
    expect(result.answered).toBeGreaterThan(5);
    expect(result.interrupted).toBeGreaterThan(10);
  });
}
