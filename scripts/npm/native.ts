/** The optional native module, with a build for each of its platforms. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nodeFolder } from "../build-native.ts";
import { compiler } from "../release/compiler.ts";
import { prebuildUdpBatch } from "../release/udp-batch.ts";
import { type Manifest, publishedManifest, readManifest } from "./manifest.ts";

const root = join(import.meta.dirname, "../..");
const sources = join(root, "packages/udp-batch");

export async function writeNativePackage(output: string): Promise<string> {
  const folder = join(output, "udp-batch");
  await prebuildUdpBatch(await compiler(), join(await nodeFolder(), "include/node"), ["x64", "arm64"]);
  mkdirSync(folder, { recursive: true });
  const source = readManifest("packages/udp-batch") as Manifest & {
    readonly main: string;
    readonly types: string;
    readonly files: readonly string[];
  };
  for (const part of source.files) cpSync(join(sources, part), join(folder, part), { recursive: true });
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  const { main, types, files } = source;
  const manifest = publishedManifest(source, { main, types, files });
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  return folder;
}
