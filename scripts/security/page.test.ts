import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { securityPage } from "./page.ts";
import { proofsIn, proofsOf } from "./proofs.ts";
import { CHAPTERS, OPEN } from "./statements.ts";

const root = join(import.meta.dirname, "../..");
const proofs = proofsOf(root);
const numbers = CHAPTERS.flatMap(({ statements }) => statements.map(({ number }) => number));

test("docs/security.md is up to date (node scripts/generate-docs.ts)", () => {
  expect(readFileSync(join(root, "docs/security.md"), "utf8")).toBe(securityPage(proofs));
});

test("the statements are numbered from 1 to 42, and those about web apps and shared databases by series of their own", () => {
  expect(numbers.filter((number) => typeof number === "number")).toEqual(
    Array.from({ length: 42 }, (_, index) => index + 1),
  );
  for (const letter of ["S", "R"]) {
    const series = numbers.flatMap((number) =>
      typeof number === "string" && number.startsWith(letter) ? [Number(number.slice(1))] : [],
    );
    expect(series).toEqual([...new Set(series)].sort((a, b) => a - b));
  }
});

test("every statement has a test, except those that are marked as open", () => {
  const proven = new Set(proofs.flatMap((proof) => proof.numbers));
  expect(numbers.filter((number) => !proven.has(number) && !OPEN.includes(number))).toEqual([]);
});

test("no test names a statement that does not exist", () => {
  expect(proofs.filter((proof) => proof.numbers.some((number) => !numbers.includes(number)))).toEqual([]);
});

test("titles of tests, groups and rows are found; skipped tests and comments are not", () => {
  const title = (text: string) => `"security ${text}"`;
  const source = [
    `test(${title("1: a")}, () => {`,
    `describe(${title('2, 3: b \\"c\\"')}, () => {`,
    `  [${title("4, S4, R2: d")}, 1],`,
    `  it.each(rows)(`,
    `    ${title("5: e")},`,
    `it.skip(${title("6: f")}, () => {`,
    `test.todo(`,
    `  ${title("7: g")},`,
    `// test(${title("8: h")}, () => {`,
    `test("unlike security 9: i", () => {`,
  ];
  expect(proofsIn("a.test.ts", source.join("\n")).map(({ numbers, title }) => [numbers, title])).toEqual([
    [[1], "a"],
    [[2, 3], 'b "c"'],
    [[4, "S4", "R2"], "d"],
    [[5], "e"],
  ]);
});
