import { expect, test } from "vitest";
import { rowWindow } from "./row-window.ts";

test("what is visible is always drawn, and never much more", () => {
  for (const count of [0, 1, 30, 1_000]) {
    for (let top = -2_000; top < 50_000; top += 37) {
      const { first, end } = rowWindow({ top, height: 700, rowHeight: 44, count });
      expect(first).toBeGreaterThanOrEqual(0);
      expect(end).toBeLessThanOrEqual(count);
      expect(end - first).toBeLessThanOrEqual(42);
      for (let row = 0; row < count; row++) {
        const visible = (row + 1) * 44 > top && row * 44 < top + 700;
        if (visible && (row < first || row >= end)) expect.fail(`row ${row} of ${count} at ${top}`);
      }
    }
  }
});
