/**
 * Builds the pages: a folder with index.html, assets whose names hold their hash, compressed forms beside them, and two
 * tables for the server: manifest.json (what may be asked for) and routes.json (which addresses are pages).
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "vite";
import { writeManifest } from "./manifest.ts";
import { type Chunks, routesFile } from "./routes-file.ts";

const folder = join(import.meta.dirname, "..");

/** What the build reads besides `src`. */
export const DASHBOARD_INPUTS: readonly string[] = [
  "index.html",
  "vite.config.ts",
  "package.json",
  "public/icon/coder.svg",
  "build/build.ts",
  "build/manifest.ts",
  "build/routes-file.ts",
].map((name) => join(folder, name));

/** @returns the packages of others that are in the output. */
export async function buildDashboard(output: string): Promise<string[]> {
  const packages = new Set<string>();
  await build({
    configFile: join(folder, "vite.config.ts"),
    root: folder,
    logLevel: "warn",
    build: { outDir: output, emptyOutDir: true },
    plugins: [collectPackages(packages)],
  });
  const chunks = join(output, "chunks.json");
  writeFileSync(join(output, "routes.json"), routesFile(JSON.parse(readFileSync(chunks, "utf8")) as Chunks));
  rmSync(chunks);
  writeManifest(output);
  if (!existsSync(join(output, "index.html"))) throw new Error(`the build left no index.html in ${output}`);
  return [...packages].sort();
}

function collectPackages(names: Set<string>): Plugin {
  return {
    name: "collect-packages",
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        const ids = chunk.type === "chunk" ? chunk.moduleIds : chunk.originalFileNames;
        for (const id of ids) {
          const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1];
          if (name !== undefined) names.add(name);
        }
      }
    },
  };
}

if (process.argv[1] === import.meta.filename) await buildDashboard(process.argv[2] ?? join(folder, "dist"));
