import { expect, test } from "vitest";
import { beyondBudget, FILE_BUDGET_S } from "./file-budget.ts";

test("files beyond the budget are named, the slowest first", () => {
  const file = (name: string, seconds: number) => ({ name, seconds });
  expect(beyondBudget([file("a", FILE_BUDGET_S), file("b", 31), file("c", 44.6)])).toEqual(["c: 45 s", "b: 31 s"]);
});
