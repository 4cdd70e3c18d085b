import { expect, test } from "vitest";
import { path } from "./bulk-transfer.ts";
import { unfairness } from "./two-streams.ts";

test("two streams that start together share a link within a factor of two and a half when one of them tolerates no loss", () => {
  expect(unfairness(path(20, 1), { tcp: { congestion: "cubic-strict" } })).toBeLessThan(2.5);
});
