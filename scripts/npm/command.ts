/** The package of the `coder` command: its bundles, and native modules as optional dependencies. */
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildCli } from "../build.ts";
import { publishedDependencies, publishedManifest, readManifest } from "./manifest.ts";
import { renameModules } from "./names.ts";
import { thirdPartyLicences } from "./third-party.ts";

const root = join(import.meta.dirname, "../..");
const command = join(root, "packages/cli");
/** What bundles load at run time. Everything else is inside them. */
const NATIVE = ["koffi", "bufferutil", "udp-batch"];

export async function writeCommand(output: string): Promise<string> {
  const folder = join(output, "cli");
  const source = readManifest("packages/cli");
  await buildCli();
  mkdirSync(join(folder, "dist"), { recursive: true });
  for (const name of readdirSync(join(command, "dist")).filter((name) => name.endsWith(".cjs"))) {
    const program = source.bin?.["coder"] === `./dist/${name}` ? "#!/usr/bin/env node\n" : "";
    const text = program + readFileSync(join(command, "dist", name), "utf8");
    writeFileSync(
      join(folder, "dist", name),
      renameModules(text, (_package, subpath) => subpath),
    );
  }
  cpSync(join(command, "dist/dashboard"), join(folder, "dist/dashboard"), { recursive: true });
  const bundled = JSON.parse(readFileSync(join(command, "dist/packages.json"), "utf8")) as Record<string, string[]>;
  const names = [...new Set(Object.values(bundled).flat())].filter((name) => !NATIVE.includes(name)).sort();
  writeFileSync(join(folder, "THIRD-PARTY-LICENSES.txt"), thirdPartyLicences(names));
  cpSync(join(command, "README.md"), join(folder, "README.md"));
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  const all = { ...source.dependencies, ...source.optionalDependencies };
  const optional = Object.fromEntries(NATIVE.map((name) => [name, all[name]!]));
  const manifest = publishedManifest(source, {
    bin: source.bin,
    files: ["dist", "THIRD-PARTY-LICENSES.txt"],
    optionalDependencies: publishedDependencies(optional),
  });
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  return folder;
}
