import { expect, test } from "vitest";
import { ranked } from "./ranking.ts";

const CHOICES = ["Workspaces", "Health", "alice/web", "alice/wide-boat terminal", "Add a machine"].map((label) => ({
  label,
  path: label,
}));
const labels = (text: string) => ranked(CHOICES, text).map(({ label }) => label);

test("letters in order find a choice, beginnings of words first", () => {
  expect(labels("web")).toEqual(["alice/web", "alice/wide-boat terminal"]);
  expect(labels("wb")).toEqual(["alice/wide-boat terminal", "alice/web"]);
  expect(labels("awt")).toEqual(["alice/wide-boat terminal"]);
  expect(labels("a m")[0]).toBe("Add a machine");
  expect(labels("xyz")).toEqual([]);
  expect(labels("")).toHaveLength(5);
});
