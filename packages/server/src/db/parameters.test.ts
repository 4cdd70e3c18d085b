import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const source = join(import.meta.dirname, "..");

/** Text that becomes SQL without kysely's `sql` template, in which every value is a parameter. */
const RAW = /\bsql\.(raw|id)\(|CompiledQuery\.raw\(|\.(query|exec|prepare)(<[^>]*>)?\(\s*`[^`]*\$\{/;

test("security R23: SQL takes values by parameters only; no text is put into it", () => {
  const files = globSync("**/*.ts", { cwd: source }).filter((name) => !name.endsWith(".test.ts"));
  expect(files.length).toBeGreaterThan(100);
  expect(files.filter((name) => RAW.test(readFileSync(join(source, name), "utf8")))).toEqual([]);
  expect(RAW.test("await client.query(`select $" + "{name}`)")).toBe(true);
  expect(RAW.test("sql.raw(text)")).toBe(true);
});
