/**
 * `npm run build:native [-- --asan]`: builds packages/udp-batch with node-gyp against the headers of the Node that runs
 * this, unless the last build was of the same sources for the same Node. `--asan`: with address and undefined-behaviour
 * checks, into a folder of its own. Releases build theirs with release/udp-batch.ts.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { fingerprintOf, isBuilt, markBuilt } from "./fingerprint.ts";
import { scriptArguments } from "./script-arguments.ts";

const root = join(import.meta.dirname, "..");
const sources = join(root, "packages/udp-batch");
const FETCHED_WITHIN_MS = 300_000;

/** @returns the folder of the package that was built: the package itself, or a copy of it for `asan`. */
export async function buildNative(options: { readonly asan?: boolean } = {}): Promise<string> {
  const asan = options.asan === true;
  const folder = asan ? join(root, ".build/udp-batch-asan") : sources;
  if (asan) {
    for (const part of ["package.json", "index.cjs", "native/binding.gyp", "native/src"]) {
      mkdirSync(folder, { recursive: true });
      cpSync(join(sources, part), join(folder, part), { recursive: true });
    }
  }
  const native = join(folder, "native");
  const stamp = join(native, "build/.fingerprint");
  const fingerprint = fingerprintOf(
    [import.meta.filename, join(native, "binding.gyp")],
    [join(native, "src")],
    `${process.version} ${process.platform} ${process.arch}`,
  );
  if (isBuilt(stamp, fingerprint)) return folder;
  const nodeGyp = join(dirname(createRequire(import.meta.url).resolve("node-gyp/package.json")), "bin/node-gyp.js");
  const headers = await nodeFolder();
  const args = [nodeGyp, "rebuild", "--directory", native, "--nodedir", headers, "--loglevel", "error"];
  const child = spawn(process.execPath, asan ? [...args, "--", "-Dasan=1"] : args, {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  const keep = (chunk: Buffer): void => {
    said = (said + chunk.toString("utf8")).slice(-20_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`node-gyp ended with ${code}:\n${said}`);
  markBuilt(stamp, fingerprint);
  return folder;
}

/**
 * Locates the headers of this Node: beside it, in the npm package `node` that brought it, or, since a package manager
 * may keep only the executable of that, in the package as it is published.
 */
export async function nodeFolder(): Promise<string> {
  const own = dirname(dirname(realpathSync(process.execPath)));
  const name = `node-${process.platform}-${process.arch}`;
  const fetched = join(root, ".build/node-headers");
  const places = [own, join(own, "node_modules", name), join(fetched, "node_modules", name)];
  const find = (): string | undefined => places.find((place) => existsSync(join(place, "include/node/node_api.h")));
  const there = find();
  if (there !== undefined) return there;
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const flags = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", fetched];
  mkdirSync(fetched, { recursive: true });
  await promisify(execFile)(npm, ["install", ...flags, `${name}@${process.versions.node}`], {
    timeout: FETCHED_WITHIN_MS,
  });
  const found = find();
  if (found === undefined) throw new Error(`no headers of Node in any include/node of ${places.join(", ")}`);
  return found;
}

if (import.meta.main) {
  const { values } = scriptArguments("build:native [--asan]", {
    options: { asan: { type: "boolean", default: false } },
  });
  const folder = await buildNative({ asan: values.asan });
  process.stdout.write(`${join(folder, "native/build/Release/udp_batch.node")}\n`);
}
