/** The library packages: JavaScript and declarations of exactly the modules that their public entries reach. */
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { run } from "../release/run.ts";
import { publishedDependencies, publishedManifest, readManifest } from "./manifest.ts";
import { modulesNamed, publishedName, renameModules } from "./names.ts";
import { floorOf, nodeFloorStatement } from "./node-floor.ts";

const root = join(import.meta.dirname, "../..");
/** Each package follows those that it uses. */
export const LIBRARIES = ["client", "protocol", "wg-userspace"] as const;
/** Refuses an old Node; every entry imports it first. */
const FLOOR_MODULE = "node-version.js";
const RELATIVE = /(["'])(\.\.?\/[^"']+)\1/g;

/** Modules of a package that only its siblings may use: exported below this subpath. */
const INTERNAL = "internal";

/**
 * Writes each library's package into a folder of its own below `output`.
 * @returns the folders, in the order in which they can be published.
 */
export async function writeLibraries(output: string): Promise<string[]> {
  const folders = new Map(LIBRARIES.map((library) => [library, join(output, library)] as const));
  await Promise.all([...folders].map(([library, folder]) => compile(library, folder)));
  const used = new Map<string, Set<string>>();
  for (const [library, folder] of folders) {
    const { name } = readManifest(`packages/${library}`);
    finish(library, folder, used.get(name) ?? new Set());
    for (const file of globSync("dist/**/*.{js,d.ts}", { cwd: folder }))
      renameIn(join(folder, file), (sibling, subpath) => {
        const offered = publicSubpath(sibling, subpath);
        if (sibling === "udp-batch" || offered !== undefined) return offered ?? subpath;
        const modules = used.get(sibling) ?? new Set();
        used.set(sibling, modules.add(subpath));
        return `${INTERNAL}/${subpath}`;
      });
    for (const file of globSync("examples/*.ts", { cwd: folder }))
      renameIn(join(folder, file), (_name, subpath) => subpath);
  }
  return [...folders.values()].reverse();
}

/** Compiles sources to `dist`, without tests and test kits. */
async function compile(library: string, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const sources = join(root, "packages", library, "src");
  const config = join(folder, "tsconfig.json");
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(root, "tsconfig.io.json"),
      compilerOptions: {
        composite: false,
        incremental: false,
        emitDeclarationOnly: false,
        declaration: true,
        stripInternal: true,
        rewriteRelativeImportExtensions: true,
        rootDir: sources,
        outDir: join(folder, "dist"),
        typeRoots: [join(root, "node_modules/@types")],
      },
      include: [sources],
      exclude: [`${sources}/**/*.test.ts`, `${sources}/testing`],
    }),
  );
  await run(join(root, "node_modules/.bin/tsc"), ["-p", config], { cwd: root });
  rmSync(config);
  // The compiler rewrites imports in modules, but not those in declarations.
  for (const file of globSync("dist/**/*.d.ts", { cwd: folder })) {
    const path = join(folder, file);
    const text = readFileSync(path, "utf8").replace(RELATIVE, (_whole, quote: string, to: string) => {
      return `${quote}${to.replace(/(?<!\.d)\.ts$/, ".js")}${quote}`;
    });
    writeFileSync(path, text);
  }
}

/** @param used Subpaths that siblings use beside the public ones. */
function finish(library: string, folder: string, used: ReadonlySet<string>): void {
  const source = readManifest(`packages/${library}`);
  const entries = new Map([
    ...publicEntries(source.name),
    ...[...used].sort().map((subpath) => [`./${INTERNAL}/${subpath}`, `${subpath}`] as const),
  ]);
  prune(folder, [...entries.values()]);
  const floor = nodeFloorStatement(
    publishedName(source.name),
    floorOf(source.engines),
    'var error = new Error(sentence);\n  error.stack = "Error: " + sentence;\n  throw error;',
  );
  writeFileSync(join(folder, "dist", FLOOR_MODULE), `${floor}export {};\n`);
  for (const [subpath, module] of entries) {
    if (subpath.startsWith(`./${INTERNAL}/`)) continue;
    const path = join(folder, "dist", `${module}.js`);
    const floorPath = relative(dirname(path), join(folder, "dist", FLOOR_MODULE));
    const specifier = floorPath.startsWith(".") ? floorPath : `./${floorPath}`;
    writeFileSync(path, `import "${specifier}";\n${readFileSync(path, "utf8")}`);
  }
  const parts = ["README.md", "examples"].filter((part) => existsSync(join(root, "packages", library, part)));
  for (const part of parts) cpSync(join(root, "packages", library, part), join(folder, part), { recursive: true });
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  const { dependencies, optionalDependencies } = source;
  const manifest = publishedManifest(source, {
    type: "module",
    exports: Object.fromEntries([
      ...[...entries].map(([subpath, module]) => [
        subpath,
        { types: `./dist/${module}.d.ts`, default: `./dist/${module}.js` },
      ]),
      ["./package.json", "./package.json"],
    ]),
    files: ["dist", ...parts.filter((part) => part === "examples")],
    dependencies: publishedDependencies(dependencies),
    optionalDependencies: optionalDependencies && publishedDependencies(optionalDependencies),
  });
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Modules by subpath, both without extension: the list that a package.json of the repository spells out. */
export function publicEntries(name: string): [subpath: string, module: string][] {
  const { exports = {} } = readManifest(`packages/${name.replace(/^coder-/, "")}`);
  return Object.entries(exports)
    .filter(([subpath]) => !subpath.includes("*"))
    .map(([subpath, file]) => [subpath, /^\.\/src\/(.+)\.ts$/.exec(String(file))![1]!]);
}

/**
 * The public subpath of a module, which the repository's own code names by its file. Generated code names some by the
 * compiled file.
 */
function publicSubpath(name: string, subpath: string): string | undefined {
  const module = subpath.replace(/\.js$/, "");
  const entry = publicEntries(name).find(
    ([entry, file]) => file === module || entry === (subpath === "" ? "." : `./${subpath}`),
  );
  return entry?.[0].replace(/^\.\/?/, "");
}

/** Removes files that no entry reaches. */
function prune(folder: string, entries: readonly string[]): void {
  const dist = join(folder, "dist");
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path) || !existsSync(path)) return;
    reached.add(path);
    for (const [, , to] of readFileSync(path, "utf8").matchAll(RELATIVE)) {
      const target = join(dirname(path), to!);
      visit(target);
      if (path.endsWith(".d.ts")) visit(target.replace(/\.js$/, ".d.ts"));
    }
  };
  for (const entry of entries) for (const end of [".js", ".d.ts"]) visit(join(dist, `${entry}${end}`));
  for (const file of globSync("**/*.{js,d.ts}", { cwd: dist })) {
    const path = join(dist, file);
    // A module and its declaration belong together.
    const pair = [path.replace(/\.d\.ts$/, ".js"), path.replace(/(?<!\.d)\.js$/, ".d.ts")];
    if (!pair.some((either) => reached.has(either))) rmSync(path);
  }
}

function renameIn(path: string, place: (name: string, subpath: string) => string): void {
  const before = readFileSync(path, "utf8");
  if (modulesNamed(before).length > 0) writeFileSync(path, renameModules(before, place));
}
