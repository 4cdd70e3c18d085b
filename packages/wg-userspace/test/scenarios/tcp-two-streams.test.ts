import { expect, test } from "vitest";
import { path } from "./bulk-transfer.ts";
import { unfairness } from "./two-streams.ts";

test("two streams that start together share a link within a factor of two", () => {
  expect(unfairness(path(20, 1), {})).toBeLessThan(2);
});
