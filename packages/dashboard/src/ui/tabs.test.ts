import { expect, test } from "vitest";
import { tabAfter } from "./tabs.tsx";

const TABS = ["a", "b", "c"].map((name) => ({ name, title: name }));

test("arrows go round, Home and End to the ends, and no other key anywhere", () => {
  expect(["a", "b", "c"].map((shown) => tabAfter("ArrowRight", TABS, shown))).toEqual(["b", "c", "a"]);
  expect(["a", "b", "c"].map((shown) => tabAfter("ArrowLeft", TABS, shown))).toEqual(["c", "a", "b"]);
  expect([tabAfter("Home", TABS, "b"), tabAfter("End", TABS, "b")]).toEqual(["a", "c"]);
  for (const key of ["Enter", " ", "Tab", "x", "toString"])
    expect([key, tabAfter(key, TABS, "b")]).toEqual([key, undefined]);
});
