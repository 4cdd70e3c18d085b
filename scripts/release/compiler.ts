/** zig as a C compiler for every target, from its pinned package. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.ts";

const root = join(import.meta.dirname, "../..");
const requirements = join(import.meta.dirname, "zig-requirements.txt");
const folder = join(root, ".build/zig");

/** Fetches it if it is missing. @returns the program; its first argument is `cc`. */
export async function compiler(): Promise<string> {
  const wanted = readFileSync(requirements, "utf8");
  const stamp = join(folder, "fetched");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const flags = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-compile", "--quiet"];
    await run("python3", ["-m", "pip", "install", ...flags, "--target", folder, "-r", requirements]);
    writeFileSync(stamp, wanted);
  }
  return join(folder, "ziglang/zig");
}

/** Makes its output depend on its input alone. */
export const CACHE = {
  ZIG_GLOBAL_CACHE_DIR: join(root, ".build/zig-cache"),
  ZIG_LOCAL_CACHE_DIR: join(root, ".build/zig-cache"),
};
