import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { allCommandTexts } from "../registry.ts";
import { environmentPage } from "./environment-page.ts";

const file = join(import.meta.dirname, "../../../../docs/operations/environment.md");

test("docs/operations/environment.md is up to date (node scripts/generate-docs.ts)", async () => {
  expect(readFileSync(file, "utf8")).toBe(environmentPage(await allCommandTexts()));
});

test("a variable of several commands has one row, with all of them", async () => {
  const rows = environmentPage(await allCommandTexts())
    .split("\n")
    .filter((line) => line.startsWith("| `CODER_STATE_DIRECTORY`") && line.includes("../cli/server-backup.md"));
  expect(rows).toHaveLength(1);
  expect(rows[0]).toContain("../cli/server-restore.md");
});
