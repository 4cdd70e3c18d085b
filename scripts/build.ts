/** Bundles what ships: the `coder` launcher's entries, and the dashboard beside them. Skips the work when no source changed since the last build. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, join } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { buildDashboard, DASHBOARD_INPUTS } from "../packages/dashboard/build/build.ts";
import { lazyBuiltins } from "./bundle-builtins.ts";
import { checkOclif, lazyOclif, leanDefinitions } from "./bundle-oclif.ts";
import { fingerprintOf, isBuilt, markBuilt } from "./fingerprint.ts";
import { floorOf, nodeFloorStatement } from "./npm/node-floor.ts";

const root = join(import.meta.dirname, "..");
const outdir = join(root, "packages/cli/dist");

/**
 * Each entry is one file, so that a start reads two or three. `ssh --stdio` has its own, because every git operation
 * starts it. The rest is split where most commands do not need the other part.
 */
const ENTRIES = {
  coder: "packages/cli/src/main.ts",
  start: "packages/cli/src/start.ts",
  "ssh-stdio": "packages/cli/src/ssh-stdio.ts",
  output: "packages/cli/src/entries/output.ts",
  cli: "packages/cli/src/cli.ts",
  network: "packages/cli/src/entries/network.ts",
  help: "packages/cli/src/help/render.ts",
  colours: "packages/cli/src/ui/colours.ts",
  server: "packages/cli/src/hosting/server.ts",
  wsproxy: "packages/cli/src/hosting/workspace-proxy.ts",
  agent: "packages/cli/src/hosting/agent.ts",
  "local-terminal": "packages/cli/src/web-terminal/run-local-terminal.ts",
  pg: "packages/server/node_modules/pg/lib/index.js",
  tldts: "packages/server/node_modules/tldts/dist/cjs/index.js",
};

/** A native module takes milliseconds to load, and only speeds up the relay by WebSocket. */
const LEAN = { "process.env.WS_NO_BUFFER_UTIL": '"1"' };

/** For CommonJS code, where import.meta.url does not exist. */
const BUNDLE_URL = 'const __bundleUrl = require("node:url").pathToFileURL(__filename).href;';

/** The first file runs on any Node, so that it can refuse one that is too old. */
const LAUNCHER: BuildOptions = { target: "es2015", banner: { js: `${refuseOldNode()}${BUNDLE_URL}` } };

/** Modules that become bundles when they are imported by `import()`; a static import includes them as usual. */
const LAZY: ReadonlyMap<string, string> = new Map(
  (["network", "help", "colours", "server", "wsproxy", "agent", "local-terminal"] as const).map((name) => [
    join(root, ENTRIES[name]),
    `./${name}.cjs`,
  ]),
);

const lazyBundles: Plugin = {
  name: "lazy-bundles",
  setup({ onResolve }) {
    onResolve({ filter: /^\.{1,2}\// }, ({ path, kind, resolveDir }) => {
      const bundle = kind === "dynamic-import" ? LAZY.get(join(resolveDir, path)) : undefined;
      return bundle === undefined ? undefined : { path: bundle, external: true };
    });
  },
};

/** What few servers load: the driver of PostgreSQL, and the list of public suffixes. */
const ownBundles: Plugin = {
  name: "own-bundles",
  setup({ onResolve }) {
    onResolve({ filter: /^(?:pg|tldts)$/ }, ({ path, importer }) =>
      importer.startsWith(join(root, "packages/server/src")) ? { path: `./${path}.cjs`, external: true } : undefined,
    );
  },
};

export async function buildCli(): Promise<void> {
  const fingerprint = sourceFingerprint();
  const stamp = join(outdir, ".fingerprint");
  if (isBuilt(stamp, fingerprint)) return;
  mkdirSync(outdir, { recursive: true });
  const packages = {
    ...(await bundleAll({ outdir }, fingerprint)),
    dashboard: await buildDashboard(join(outdir, "dashboard")),
  };
  writeFileSync(join(outdir, "packages.json"), `${JSON.stringify(packages, null, 1)}\n`);
  markBuilt(stamp, fingerprint);
}

/** The bundles for a single executable, without white space, and `executable.cjs`, which starts them. */
export async function bundleForExecutable(folder: string): Promise<Record<string, string[]>> {
  const options = { outdir: folder, minifyWhitespace: true };
  return {
    ...(await bundleAll(options)),
    ...(await bundle({ executable: "packages/cli/src/executable/main.ts" }, options)),
    dashboard: await buildDashboard(join(folder, "dashboard")),
  };
}

/** @param build Names what is built; without it no compiled code is kept. */
async function bundleAll(options: BuildOptions, build?: string): Promise<Record<string, string[]>> {
  const { coder, start, cli, help, output, "ssh-stdio": sshStdio, ...work } = ENTRIES;
  checkOclif(root);
  return {
    ...(await bundle({ coder }, { ...options, ...LAUNCHER })),
    ...(await bundle(
      { start },
      { ...options, plugins: [leanDefinitions(root)] },
      { __build: build === undefined ? "undefined" : JSON.stringify(build) },
    )),
    ...(await bundle({ output }, options)),
    ...(await bundle({ "ssh-stdio": sshStdio }, { ...options, plugins: [leanDefinitions(root)] }, LEAN)),
    ...(await bundle({ cli }, { ...options, plugins: [lazyBundles, lazyOclif({ bare: true })] })),
    ...(await bundle({ help }, { ...options, plugins: [lazyOclif({ bare: false })] })),
    ...(await bundle(work, { ...options, plugins: [ownBundles] })),
  };
}

function refuseOldNode(): string {
  const { engines } = JSON.parse(readFileSync(join(root, "packages/cli/package.json"), "utf8"));
  return nodeFloorStatement("coder", floorOf(engines), 'process.stderr.write(sentence + "\\n"); process.exit(1);');
}

/** Returns the third-party packages in each entry. */
async function bundle(
  entries: Readonly<Record<string, string>>,
  options: BuildOptions,
  define: Readonly<Record<string, string>> = {},
): Promise<Record<string, string[]>> {
  const { metafile } = await build({
    entryPoints: Object.entries(entries).map(([out, path]) => ({ in: join(root, path), out })),
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node22",
    outExtension: { ".js": ".cjs" },
    minifySyntax: true,
    // A bundle loads the next by `require`: that is quicker, and all that the loader of a single executable has.
    supported: { "dynamic-import": false },
    legalComments: "none",
    loader: { ".md": "text" },
    logLevel: "warning",
    // Native or optional parts: resolved from node_modules at run time, and only when they are used.
    external: [
      "koffi",
      "udp-batch",
      "bufferutil",
      "cpu-features",
      "./crypto/build/Release/sshcrypto.node",
      "./ssh-stdio.cjs",
      "./output.cjs",
      "./start.cjs",
      "./cli.cjs",
    ],
    define: { "import.meta.url": "__bundleUrl", ...define },
    banner: { js: BUNDLE_URL },
    ...options,
    plugins: [lazyBuiltins, ...(options.plugins ?? [])],
    metafile: true,
  });
  return Object.fromEntries(
    Object.entries(metafile.outputs).map(([path, { inputs, imports }]) => {
      const outside = imports.filter(({ external }) => external === true).map(({ path }) => `node_modules/${path}`);
      return [basename(path, ".cjs"), packagesOf([...Object.keys(inputs), ...outside])];
    }),
  );
}

function packagesOf(paths: readonly string[]): string[] {
  const names = paths.flatMap((path) => /.*node_modules\/((?:@[^/]+\/)?[^/.:][^/:]*)(?:\/|$)/.exec(path)?.[1] ?? []);
  return [...new Set(names)].filter((name) => !isBuiltin(name)).sort();
}

function sourceFingerprint(): string {
  const files = [
    join(root, "pnpm-lock.yaml"),
    import.meta.filename,
    join(root, "scripts/npm/node-floor.ts"),
    join(root, "scripts/bundle-builtins.ts"),
    join(root, "scripts/bundle-oclif.ts"),
    ...DASHBOARD_INPUTS,
    join(root, "docs/troubleshooting.md"), // `coder help` shows it
  ];
  const packages = readdirSync(join(root, "packages")).sort();
  return fingerprintOf(
    files,
    packages.map((name) => join(root, "packages", name, "src")),
  );
}

if (process.argv[1] === import.meta.filename) await buildCli();
