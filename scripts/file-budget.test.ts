import { expect, test } from "vitest";
import { beyondBudget, FILE_BUDGET_S } from "./file-budget.ts";

const file = (name: string, seconds: number) => ({ name, seconds });

test("files beyond the budget are named, the slowest first", () => {
  const files = [file("a", FILE_BUDGET_S), file("b", 31), file("c", 44.6)];
  expect(beyondBudget(files, 0.5)).toEqual({ slow: ["c: 45 s", "b: 31 s"], failures: [] });
});

test("a file far beyond it fails the run, the more load there is the later", () => {
  const failures = (seconds: number, load: number) => beyondBudget([file("a", seconds)], load).failures;
  expect([failures(60, 0.1), failures(60, 1)]).toEqual([[], []]);
  expect(failures(61, 0.1)).toEqual([expect.stringMatching(/^a: took 61 s, .* split it by subject/)]);
  expect([failures(120, 2), failures(121, 2)]).toEqual([[], [expect.stringContaining("took 121 s")]]);
});
