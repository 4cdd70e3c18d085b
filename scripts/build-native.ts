/**
 * `node scripts/build-native.ts [--asan] [--prebuild]`: builds packages/udp-batch with node-gyp against the headers of the
 * Node that runs this; nothing is fetched. `--asan`: with address and undefined-behaviour checks, into a folder of its own.
 * `--prebuild`: copies the result to where a release has it.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const sources = join(root, "packages/udp-batch");

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
  const nodeGyp = join(dirname(createRequire(import.meta.url).resolve("node-gyp/package.json")), "bin/node-gyp.js");
  const headers = nodeFolder();
  const args = [nodeGyp, "rebuild", "--directory", join(folder, "native"), "--nodedir", headers, "--loglevel", "error"];
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
  return folder;
}

/** Where this Node keeps its headers: beside itself, or in the package that the npm package `node` brings it in. */
function nodeFolder(): string {
  const own = dirname(dirname(realpathSync(process.execPath)));
  const places = [own, join(own, `node_modules/node-${process.platform}-${process.arch}`)];
  const found = places.find((place) => existsSync(join(place, "include/node/node_api.h")));
  if (found === undefined) throw new Error(`no headers of Node in any include/node of ${places.join(", ")}`);
  return found;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { asan: { type: "boolean", default: false }, prebuild: { type: "boolean", default: false } },
  });
  const folder = await buildNative({ asan: values.asan });
  const built = join(folder, "native/build/Release/udp_batch.node");
  if (values.prebuild) {
    const target = join(sources, "prebuilds", `${process.platform}-${process.arch}`);
    mkdirSync(target, { recursive: true });
    cpSync(built, join(target, "udp_batch.node"));
  }
  process.stdout.write(`${built}\n`);
}
