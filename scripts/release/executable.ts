/** Builds one executable: Node of the platform, the bundles, native modules, and the code cache where it is valid. */
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { CACHE } from "./compiler.ts";
import { codeOf, embedFunction, stripped } from "./elf.ts";
import type { Platform } from "./platforms.ts";
import { run } from "./run.ts";

/** Node's own file imports this one function from a library that minimal systems lack. */
const LIBRARY = "libatomic.so.1";
const FUNCTION = "__atomic_compare_exchange";
const cliPackage = createRequire(join(import.meta.dirname, "../../packages/cli/package.json"));

export interface ExecutableInputs {
  /** Folder of the packages from the release's own lockfile. */
  readonly packages: string;
  readonly zig: string;
  /** Files in `bundles/` of the work folder: bundles, and the dashboard in a folder of its own. */
  readonly bundles: readonly string[];
  /** Bundles that have a code cache for {@link compiledFor} beside them. */
  readonly compiled: readonly string[];
  readonly compiledFor: Platform["name"];
  /** Build for this platform; undefined where there is none. */
  readonly udpBatch: string | undefined;
}

/**
 * @param work A folder for intermediate files; holds `bundles/`.
 * @returns the file, in the work folder.
 */
export async function buildExecutable(platform: Platform, work: string, from: ExecutableInputs): Promise<string> {
  const folder = join(work, platform.name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const node = join(folder, basename(platform.node[1]));
  const original = join(from.packages, platform.node[0], platform.node[1]);
  if (!existsSync(original)) throw new Error(`${platform.node[0]} could not be fetched`);
  if (platform.os === "linux")
    writeFileSync(node, await prepared(original, platform, folder, from.zig), { mode: 0o755 });
  else copyFileSync(original, node);

  const assets: Record<string, string> = {};
  for (const name of from.bundles) if (name !== "executable.cjs") assets[name] = join("bundles", name);
  if (platform.name === from.compiledFor)
    for (const name of from.compiled) assets[`${name}.cache`] = join("bundles", `${name}.cache`);
  const natives: Record<string, string> = {};
  for (const [name, file] of Object.entries(nativesOf(platform, from))) {
    const hash = createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 32);
    natives[name] = `${name}-${hash}.node`;
    copyFileSync(file, join(folder, natives[name]));
    assets[natives[name]] = join(platform.name, natives[name]);
  }
  writeFileSync(join(folder, "natives.json"), JSON.stringify(natives));
  assets["natives.json"] = join(platform.name, "natives.json");
  const output = join(folder, platform.file);
  const configuration = {
    main: join("bundles", "executable.cjs"), // the path becomes part of the file, so it must be the same wherever it is built
    output,
    executable: node,
    disableExperimentalSEAWarning: true,
    useCodeCache: false,
    // NODE_OPTIONS is for Node programs, not for this executable.
    execArgvExtension: "none",
    assets,
  };
  writeFileSync(join(folder, "sea.json"), JSON.stringify(configuration));
  await run(process.execPath, ["--build-sea", join(platform.name, "sea.json")], { cwd: work });
  chmodSync(output, 0o755);
  rmSync(node);
  return output;
}

async function prepared(original: string, platform: Platform, folder: string, zig: string): Promise<Buffer> {
  const target = platform.arch === "x64" ? "x86_64" : "aarch64";
  const object = join(folder, "atomic.o");
  const flags = [
    "-O2",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-sanitize=all",
    "-fno-asynchronous-unwind-tables",
  ];
  const source = join(import.meta.dirname, "atomic.c");
  await run(zig, ["cc", "-target", `${target}-linux-gnu.2.17`, "-c", ...flags, source, "-o", object], {
    env: { ...process.env, ...CACHE },
  });
  const file = stripped(readFileSync(original));
  embedFunction(file, { library: LIBRARY, symbol: FUNCTION, code: codeOf(readFileSync(object)) });
  return file;
}

/** The files of native modules, by the names under which they are loaded. */
function nativesOf(platform: Platform, { packages, udpBatch }: ExecutableInputs): Record<string, string> {
  const koffi = join(packages, "@koromix", `koffi-${platform.os}-${platform.arch}`, platform.koffi, "koffi.node");
  if (!existsSync(koffi)) throw new Error(`koffi for ${platform.name} could not be fetched`);
  // There is no build for Linux on arm64, where the relay does without it.
  const prebuilds = join(dirname(cliPackage.resolve("bufferutil/package.json")), "prebuilds");
  const bufferutil = join(prebuilds, `${platform.os}-${platform.arch}`, "bufferutil.node");
  const files: Record<string, string> = { koffi };
  if (udpBatch !== undefined) files["udp-batch"] = udpBatch;
  if (existsSync(bufferutil)) files["bufferutil"] = bufferutil;
  return files;
}
