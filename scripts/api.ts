/**
 * `npm run api`: writes the API of every public entry of the libraries into docs/api, so that changes show in review.
 * `--check` writes nothing, and fails if docs/api differs from the sources.
 */
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { LIBRARIES, publicEntries, writeLibraries } from "./npm/library.ts";
import { readManifest } from "./npm/manifest.ts";
import { publishedName } from "./npm/names.ts";
import { run } from "./release/run.ts";
import { scriptArguments } from "./script-arguments.ts";

const root = join(import.meta.dirname, "..");
/** The extractor and the compiler inside it, from their own lockfile. */
const tools = join(import.meta.dirname, "api");
const work = join(root, ".build/api");
const kept = join(root, "docs/api");

const { values } = scriptArguments("api [--check]", { options: { check: { type: "boolean", default: false } } });
const target = values.check ? join(work, "reports") : kept;

rmSync(work, { recursive: true, force: true });
await Promise.all([writeLibraries(work), fetchExtractor()]);
for (const library of LIBRARIES) linkDependencies(library);
rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
for (const library of LIBRARIES) report(library);
const stale = staleReports();
if (stale.length > 0) {
  process.stderr.write(`docs/api is not what the sources say: run "npm run api" (${stale.join(", ")})\n`);
  process.exit(1);
}

async function fetchExtractor(): Promise<void> {
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { packageManager: string };
  const flags = ["--ignore-workspace", "--frozen-lockfile", "--ignore-scripts", "--reporter=silent"];
  await run("npx", ["--yes", packageManager, "install", ...flags], { cwd: tools });
}

/** Links the packages to each other and to their dependencies. */
function linkDependencies(library: string): void {
  const { name, dependencies = {} } = readManifest(`packages/${library}`);
  const link = (from: string, to: string): void => {
    if (existsSync(from)) return;
    mkdirSync(dirname(from), { recursive: true });
    symlinkSync(to, from, "junction");
  };
  link(join(work, "node_modules", publishedName(name)), join(work, library));
  for (const [other, version] of Object.entries(dependencies)) {
    if (version !== "workspace:*")
      link(join(work, "node_modules", other), join(root, "packages", library, "node_modules", other));
  }
}

function report(library: string): void {
  const { CompilerState, Extractor, ExtractorConfig } = createRequire(join(tools, "package.json"))(
    "@microsoft/api-extractor",
  ) as typeof import("@microsoft/api-extractor");
  const folder = join(work, library);
  const entries = publicEntries(readManifest(`packages/${library}`).name).map(([subpath, module]) => ({
    title: library + subpath.slice(1).replace("/", "-"),
    file: join(folder, `dist/${module}.d.ts`),
  }));
  const files = entries.map(({ file }) => file);
  const types = { types: ["node"], typeRoots: [join(root, "node_modules/@types")] };
  const lib = ["es2024", "esnext.disposable"];
  const compilerOptions = { strict: true, module: "nodenext", target: "es2022", lib, skipLibCheck: true, ...types };
  const configs = entries.map(({ title, file }) =>
    ExtractorConfig.prepare({
      configObject: {
        projectFolder: folder,
        mainEntryPointFilePath: file,
        compiler: { overrideTsconfig: { compilerOptions, files } },
        // Types that are public only through another public type are included as well.
        apiReport: {
          enabled: true,
          includeForgottenExports: true,
          reportFileName: title,
          reportFolder: target,
          reportTempFolder: join(work, "temporary"),
        },
        newlineKind: "lf",
        messages: { compilerMessageReporting: { default: { logLevel: "error" } } },
      },
      configObjectFullPath: undefined,
      packageJsonFullPath: join(folder, "package.json"),
    }),
  );
  const compilerState = CompilerState.create(configs[0]!, { additionalEntryPoints: files });
  for (const config of configs) {
    const { errorCount } = Extractor.invoke(config, {
      compilerState,
      localBuild: true,
      messageCallback: (message: { readonly logLevel: string; handled: boolean }) => {
        message.handled = message.logLevel !== "error";
      },
    });
    if (errorCount > 0) throw new Error(`${config.mainEntryPointFilePath}: not even its declarations are right`);
  }
}

/** Reports that differ from those in docs/api, are missing there, or are surplus. */
function staleReports(): string[] {
  const texts = (folder: string): Map<string, string> =>
    new Map(globSync("*.md", { cwd: folder }).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  const [is, was] = [texts(target), texts(kept)];
  return [...new Set([...is.keys(), ...was.keys()])].sort().filter((name) => is.get(name) !== was.get(name));
}
