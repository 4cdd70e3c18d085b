/** The source files of the packages and the imports between them, read as text. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";

export interface Module {
  /** Relative to `packages/`, with forward slashes: `server/src/http/views.ts`. */
  readonly path: string;
  /** Paths of the modules that it imports, types included. External modules are left out. */
  readonly imports: readonly string[];
  /** Specifiers that lead out of the packages: `node:net`, `ws`. */
  readonly external: readonly string[];
}

/** Package name → folder below `packages/`. */
const FOLDERS: Readonly<Record<string, string>> = {
  "wg-userspace": "wg-userspace",
  "coder-protocol": "protocol",
  "coder-client": "client",
  "coder-agent": "agent",
  "coder-server": "server",
  "coder-dashboard": "dashboard",
  "coder-cli": "cli",
};

/** Every module in the `src` folders of the packages except tests. */
export function modulesOf(packages: string): Module[] {
  return Object.values(FOLDERS).flatMap((folder) => {
    const source = join(packages, folder, "src");
    return readdirSync(source, { recursive: true, encoding: "utf8" })
      .map((name) => name.replaceAll("\\", "/"))
      .filter((name) => /\.tsx?$/.test(name) && !name.endsWith(".test.ts"))
      .map((name) => moduleOf(packages, join(source, name)));
  });
}

function moduleOf(packages: string, file: string): Module {
  const path = relative(packages, file).replaceAll("\\", "/");
  const imports = new Set<string>();
  const external = new Set<string>();
  for (const specifier of specifiersIn(readFileSync(file, "utf8"))) {
    const target = resolve(packages, path, specifier);
    if (target === undefined) external.add(specifier);
    else imports.add(target);
  }
  return { path, imports: [...imports], external: [...external] };
}

/** Static and dynamic imports, re-exports and types in `import("…")`; comments are ignored. */
export function specifiersIn(code: string): string[] {
  const bare = code.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|[^:"'`])\/\/.*$/gm, "$1");
  return [...bare.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]!);
}

function resolve(packages: string, from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return posix.join(dirname(from), specifier);
  const [name, ...rest] = specifier.split("/");
  const folder = FOLDERS[name!];
  if (folder === undefined) return undefined;
  const target = exportOf(packages, folder, rest.join("/"));
  if (target === undefined) throw new Error(`${from} imports ${specifier}, which ${name} does not export`);
  return target;
}

function exportOf(packages: string, folder: string, subpath: string): string | undefined {
  const manifest = JSON.parse(readFileSync(join(packages, folder, "package.json"), "utf8")) as {
    exports: Readonly<Record<string, string>>;
  };
  const key = subpath === "" ? "." : `./${subpath}`;
  const exact = manifest.exports[key];
  const target = exact ?? Object.entries(manifest.exports).flatMap(([pattern, to]) => expand(pattern, to, key))[0];
  if (target === undefined || !existsSync(join(packages, folder, target))) return undefined;
  return posix.join(folder, target);
}

function expand(pattern: string, target: string, key: string): string[] {
  const [head, tail] = pattern.split("*");
  if (tail === undefined || !key.startsWith(head!) || !key.endsWith(tail)) return [];
  return [target.replace("*", key.slice(head!.length, key.length - tail.length))];
}

/** Groups of modules that import each other, directly or through others; each group sorted by path. */
export function circlesIn(modules: readonly Module[]): string[][] {
  const importsOf = new Map(modules.map((module) => [module.path, module.imports]));
  const reachedFrom = new Map<string, Set<string>>();
  const reach = (start: string): Set<string> => {
    const known = reachedFrom.get(start);
    if (known !== undefined) return known;
    const seen = new Set<string>();
    const open = [start];
    for (let path = open.pop(); path !== undefined; path = open.pop()) {
      for (const next of importsOf.get(path) ?? []) {
        if (seen.has(next)) continue;
        seen.add(next);
        open.push(next);
      }
    }
    reachedFrom.set(start, seen);
    return seen;
  };
  const inCircles = modules.map(({ path }) => path).filter((path) => reach(path).has(path));
  const circles = new Map<string, string[]>();
  for (const path of inCircles.sort()) {
    const circle = inCircles.filter((other) => reach(path).has(other) && reach(other).has(path)).sort();
    circles.set(circle[0]!, circle);
  }
  return [...circles.values()];
}
