/** How oclif comes into the bundles: as little of it as a start needs. */
import { globSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import type { Plugin } from "esbuild";

const CORE_FILE = /@oclif[/\\]core[/\\]lib[/\\].*\.js$/;
/** It asks the system who the user is, which fails for one without an entry, and whether this is WSL. Neither is needed. */
const SYSTEM_FILE = /[/\\]util[/\\]os\.js$/;
const SYSTEM = `
exports.getHomeDir = () => undefined;
exports.getPlatform = async () => process.platform;
exports.getShell = async () => "unknown";
`;
/**
 * Statements that are made lazy, in the version that is pinned. Another number means another oclif: measure again, then change
 * it.
 */
const EAGER_REQUIRES = 234;

/**
 * Has oclif load its own modules, and those of others, when they are used. Its compiler writes every import as
 * `const x_1 = require("…")`, at most wrapped in `__importDefault` or `__importStar`; a whole start needs a third of them.
 * @param bare Leaves out the packages that oclif brings: only its help pages use any.
 */
export function lazyOclif({ bare }: { readonly bare: boolean }): Plugin {
  return {
    name: "lazy-oclif",
    setup({ onLoad, onResolve }) {
      onResolve({ filter: /^[^.]/ }, ({ path, importer }) => {
        if (!CORE_FILE.test(importer) || isBuiltin(path) || path.startsWith("@oclif/")) return undefined;
        return bare ? { path, namespace: "left-out" } : undefined;
      });
      onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
        contents: `throw new Error("this bundle has no ${path}: see scripts/bundle-oclif.ts");`,
      }));
      onLoad({ filter: CORE_FILE }, ({ path }) => ({
        contents: SYSTEM_FILE.test(path)
          ? SYSTEM
          : withoutOutputListener(withLazyRequires(readFileSync(path, "utf8")).text),
        loader: "js",
      }));
    },
  };
}

/** For bundles that read definitions of flags and have no parser of oclif. */
export function leanDefinitions(root: string): Plugin {
  const path = join(root, "packages/cli/src/flags/lean-definitions.ts");
  return {
    name: "lean-definitions",
    setup: ({ onResolve }) => onResolve({ filter: /^@oclif\/core\/(args|flags)$/ }, () => ({ path })),
  };
}

/** Fails where oclif is not as it was when this was measured. */
export function checkOclif(root: string): void {
  const folder = join(root, "packages/cli/node_modules/@oclif/core/lib");
  const files = globSync("**/*.js", { cwd: folder });
  const count = (file: string): number => withLazyRequires(readFileSync(join(folder, file), "utf8")).count;
  const found = files.reduce((sum, file) => sum + count(file), 0);
  if (!OUTPUT_LISTENER.test(readFileSync(join(folder, "command.js"), "utf8")))
    throw new Error("@oclif/core/lib/command.js listens to the errors of standard output in another way, or no more");
  if (found === EAGER_REQUIRES) return;
  throw new Error(`@oclif/core has ${found} requires to make lazy, not ${EAGER_REQUIRES}: see scripts/bundle-oclif.ts`);
}

/** oclif's module of commands handles errors of standard output itself: it throws them, and ignores a closed pipe. */
const OUTPUT_LISTENER = /^process\.stdout\.on\('error', \(err\) => \{\n[^}]*\}\);$/m;

/** How a command ends when its output cannot be written is decided in one place: ending.ts. */
function withoutOutputListener(source: string): string {
  return source.replace(OUTPUT_LISTENER, "");
}

/** Exported for its test. */
export function withLazyRequires(source: string): { readonly text: string; readonly count: number } {
  const names: string[] = [];
  const declared = source.replace(
    /^const (\w+) = ((?:__importDefault|__importStar)\(require\("[^"]+"\)\)|require\("[^"]+"\));$/gm,
    (_, name: string, load: string) => {
      names.push(name);
      return `let ${name}$value; const ${name}$load = () => (${name}$value ??= ${load});`;
    },
  );
  if (names.length === 0) return { text: source, count: 0 };
  const used = new RegExp(`(?<![\\w$.])(${names.join("|")})(?![\\w$:])`, "g");
  return { text: declared.replace(used, "($1$load())"), count: names.length };
}
