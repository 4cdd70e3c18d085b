/**
 * `compiled.ts FOLDER NAMES WORDS…`: runs the bundles of FOLDER as `coder WORDS…`, and writes V8's code cache beside
 * each of NAMES that ran, including functions that were used. Run with V8's flags for repeatable results.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Script } from "node:vm";
import { requireFrom } from "../../packages/cli/src/bundles/require-from.ts";

const [folder, names, ...words] = process.argv.slice(2);
if (folder === undefined || names === undefined) throw new Error("usage: compiled.ts FOLDER NAMES WORDS…");
const wanted = names.split(",");
const scripts = new Map<string, Script>();
process.argv.splice(1, process.argv.length, "coder", ...words);
process.on("exit", () => {
  for (const [name, script] of scripts)
    if (wanted.includes(name)) writeFileSync(join(folder, `${name}.cache`), script.createCachedData());
});
const require = requireFrom({
  text: (name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), "utf8") : undefined),
  compiled: () => undefined,
  native: () => undefined,
  builtin: (name) => {
    const module: unknown = process.getBuiltinModule(name);
    if (module === undefined) throw Object.assign(new Error(`no module ${name}`), { code: "MODULE_NOT_FOUND" });
    return module;
  },
  onCompiled: (name, script) => scripts.set(name, script),
});
require(words.length > 0 ? "./coder.cjs" : `./${wanted[0]}`);
if (words.length === 0) process.exit(0);
