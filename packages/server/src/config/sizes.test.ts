import { expect, test } from "vitest";
import { parseSize } from "./sizes.ts";

test("a size is a number with a unit or without", () => {
  const sizes = ["0", "4096", "1GiB", "500 MB", "1.5kib", "2tb", "7b"].map(parseSize);
  expect(sizes).toEqual([0, 4096, 2 ** 30, 500_000_000, 1536, 2e12, 7]);
});

test.each(["", "-1", "1x", "GiB", "1e3", "0x10", "99999999999TiB", "1..5", "NaN"])("%j is not a size", (text) => {
  expect(parseSize(text)).toBeUndefined();
});
