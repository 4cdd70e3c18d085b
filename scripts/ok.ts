/** `npm run ok`: the gate. Format, lint, types, dead code, generated files, tests. Stops at the first failure. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const bin = (name: string) => join(root, "node_modules/.bin", name);

const STEPS: readonly (readonly [string, string, readonly string[]])[] = [
  ["format and lint", bin("biome"), ["check", "."]],
  ["types", bin("tsc"), ["-b"]],
  ["dead code", bin("knip"), []],
  ["WASM is what its source compiles to", process.execPath, ["scripts/build-wasm.mjs", "--check"]],
  ["docs/api is what the sources say", process.execPath, ["scripts/api.ts", "--check"]],
  ["tests", process.execPath, ["scripts/test.ts"]],
];
/** `--no-tests` leaves them out: the interop tier checks docs/api, too. */
const LONG = new Set(["docs/api is what the sources say", "tests"]);

const withTests = !process.argv.includes("--no-tests");
for (const [title, command, args] of STEPS) {
  if (LONG.has(title) && !withTests) continue;
  process.stdout.write(`── ${title}\n`);
  const done = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (done.status !== 0) {
    process.stderr.write(`${title}: failed\n`);
    process.exit(done.status ?? 1);
  }
}
