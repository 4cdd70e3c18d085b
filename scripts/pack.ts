/**
 * `npm run pack [-- --output FOLDER]`: builds the packages for npm, as folders and as tarballs, and lists them in the
 * order in which they can be published.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { writeCommand } from "./npm/command.ts";
import { writeLibraries } from "./npm/library.ts";
import { readManifest } from "./npm/manifest.ts";
import { writeNativePackage } from "./npm/native.ts";
import { run } from "./release/run.ts";
import { scriptArguments } from "./script-arguments.ts";

const { values } = scriptArguments("pack [--output FOLDER]", {
  options: { output: { type: "string", default: join(import.meta.dirname, "../.build/npm") } },
});
const output = resolve(values.output);
const folders = join(output, "packages");
rmSync(output, { recursive: true, force: true });
mkdirSync(folders, { recursive: true });

const packages = [await writeNativePackage(folders), ...(await writeLibraries(folders)), await writeCommand(folders)];
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const flags = ["--ignore-scripts", "--json", "--pack-destination", output];
const tarballs = JSON.parse(await run(npm, ["pack", ...packages, ...flags])) as {
  readonly name: string;
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly entryCount: number;
}[];
for (const { name, filename, size, unpackedSize, entryCount } of tarballs)
  process.stdout.write(`${filename}: ${name}, ${kB(size)} packed, ${kB(unpackedSize)} in ${entryCount} files\n`);

if (readManifest("").repository === undefined)
  process.stderr.write(
    'These packages can be tried and not be published: npm refuses provenance without the repository\'s address. Set "repository" in package.json.\n',
  );

function kB(bytes: number): string {
  return `${(bytes / 1000).toFixed(0)} kB`;
}
