import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { articleOf } from "./article.ts";

const page = readFileSync(join(import.meta.dirname, "../../../../docs/troubleshooting.md"), "utf8");

test("a section is an article, as wide as the terminal", () => {
  const article = articleOf(page, "troubleshooting", "hard-nat", 60)!;
  const [title, blank, ...lines] = article.trimEnd().split("\n");
  expect([title, blank]).toEqual(["hard-nat", ""]);
  expect(lines.length).toBeGreaterThan(4);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
  expect(articleOf(page, "troubleshooting", "nosuch", 60)).toBeUndefined();
  expect(articleOf(page, "troubleshooting", "troubleshooting", 60)).toContain("\nnot-direct\n");
});

test("every article that the diagnosis refers to exists", () => {
  const sources = [
    "../../../client/src/diagnosis/causes.ts",
    "../../../client/src/diagnosis/path-causes.ts",
    "../../../client/src/diagnosis/unanswered-causes.ts",
    "../measure/run-ping.ts",
  ]
    .map((name) => readFileSync(join(import.meta.dirname, name), "utf8"))
    .join("");
  const named = [...sources.matchAll(/coder help ([a-z-]+)/g)].map(([, name]) => name!);
  const codes = [...sources.matchAll(/\b(?:blocks|slows)\("([a-z0-9-]+)"/g)].map(([, code]) => code!);
  const referred = new Set([...named, ...codes]);
  expect(referred.size).toBeGreaterThan(12);
  for (const name of referred) expect(articleOf(page, "troubleshooting", name, 80), name).toBeDefined();
});
