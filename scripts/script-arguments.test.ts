import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** The scripts of package.json that take options of their own. */
const NAMES = ["api", "bench", "fuzz", "mutate", "pack", "release", "soak"];

test.for(NAMES)("%s prints its usage for --help, and names an option that it does not take", (name) => {
  const start = (...words: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...words], { encoding: "utf8" });
  const help = start("--help");
  expect(help).toMatchObject({ status: 0, stderr: "" });
  expect(help.stdout).toMatch(new RegExp(`^usage: ${name} \\[`));
  const wrong = start("--no-such-option");
  expect(wrong).toMatchObject({ status: 2, stdout: "" });
  expect(wrong.stderr).toMatch(/^Unknown option '--no-such-option'/);
  expect(wrong.stderr).toContain(help.stdout);
});

test("no script reads options in another way", () => {
  const scripts = readdirSync(import.meta.dirname).filter((name) => /(?<!\.test)\.ts$/.test(name));
  const readers = scripts.filter((name) => readFileSync(join(import.meta.dirname, name), "utf8").includes("parseArgs"));
  expect(readers).toEqual(["script-arguments.ts"]);
});
