/** Builds packages/udp-batch for each supported C library and processor. */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { CACHE } from "./compiler.ts";
import { run } from "./run.ts";

const sources = join(import.meta.dirname, "../../packages/udp-batch");
const PROCESSORS = { x64: "x86_64", arm64: "aarch64" } as const;
/** The oldest supported C library. */
const LIBRARIES = { glibc: "gnu.2.17", musl: "musl" } as const;

type Arch = keyof typeof PROCESSORS;

/**
 * @param headers Node's, which are the same for every target.
 * @returns the module for glibc of each processor.
 */
export async function prebuildUdpBatch(
  zig: string,
  headers: string,
  archs: readonly Arch[],
): Promise<Map<Arch, string>> {
  const built = new Map<Arch, string>();
  for (const arch of archs) {
    for (const library of ["glibc", "musl"] as const) {
      const file = await compile(zig, headers, arch, library);
      if (library === "glibc") built.set(arch, file);
    }
  }
  return built;
}

async function compile(zig: string, headers: string, arch: Arch, library: keyof typeof LIBRARIES): Promise<string> {
  const folder = join(sources, "prebuilds", `linux-${arch}`);
  mkdirSync(folder, { recursive: true });
  const output = join(folder, `udp_batch.${library}.node`);
  const code = readdirSync(join(sources, "native/src"))
    .filter((name) => name.endsWith(".c"))
    .sort()
    .map((name) => join("native/src", name));
  const target = ["-target", `${PROCESSORS[arch]}-linux-${LIBRARIES[library]}`];
  const defines = ["NAPI_VERSION=9", "_GNU_SOURCE", "NODE_GYP_MODULE_NAME=udp_batch", "BUILDING_NODE_EXTENSION"];
  // CMSG_NXTHDR of musl compares a signed with an unsigned number.
  const warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-sign-compare"];
  const flags = ["-shared", "-fPIC", "-O3", "-std=c11", "-fvisibility=hidden", "-s", "-Wl,-soname,udp_batch.node"];
  await run(
    zig,
    [
      "cc",
      ...target,
      ...flags,
      ...warnings,
      ...defines.map((name) => `-D${name}`),
      "-I",
      headers,
      ...code,
      "-o",
      output,
    ],
    { cwd: sources, env: { ...process.env, ...CACHE } },
  );
  return output;
}
