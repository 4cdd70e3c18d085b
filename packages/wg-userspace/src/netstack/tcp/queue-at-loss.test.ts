import { describe, expect, test } from "vitest";
import { LinkRandom } from "../../testing/link.ts";
import { QueueAtLoss } from "./queue-at-loss.ts";

/** A queue that grows to `fullMs` and drains, 64 samples each time, on a path of 100 ms. `lost` gives the position of lost segments. */
function shareAfter(fullMs: number, lost: (sample: number) => boolean): number {
  const queue = new QueueAtLoss();
  for (let i = 0; i < 6400; i++) {
    queue.onRtt(100 + (fullMs * (i % 64)) / 63, 100);
    if (lost(i)) queue.onLoss();
    if (i % 64 === 63) queue.onRoundStart();
  }
  return queue.share;
}

describe("the queue at losses", () => {
  test.each([5, 10, 200])("is full when a queue of %i ms overflows", (fullMs) => {
    expect(shareAfter(fullMs, (i) => i % 64 === 63)).toBeGreaterThan(0.9);
  });
  test("is unknown after one loss", () => {
    expect(shareAfter(10, (i) => i === 639)).toBeLessThan(0.3);
  });
  test("is half full, on average, when losses come at any time", () => {
    const random = new LinkRandom(1);
    let sum = 0;
    for (let run = 0; run < 50; run++) sum += shareAfter(10, () => random.fraction() < 0.01);
    expect(sum / 50).toBeCloseTo(0.5, 1);
  });
  test("is zero where the round trip varies by only a few ms", () => {
    expect(shareAfter(3, (i) => i % 64 === 63)).toBe(0);
  });
  test("is forgotten with the path", () => {
    const queue = new QueueAtLoss();
    for (let i = 0; i < 8; i++) queue.onRtt(100 + 5 * i, 100);
    queue.onLoss();
    expect(queue.share).toBeGreaterThan(0);
    queue.reset();
    queue.onLoss();
    expect(queue.share).toBe(0);
  });
});
