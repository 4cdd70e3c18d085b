/** What the benches build from their own sources: Go programs, the native module, the link emulator. */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildNative } from "../build-native.ts";
import { missingPrograms } from "./processes.ts";

const root = join(import.meta.dirname, "../..");
const built = join(root, ".build/bench");
/** The first build includes the download of the modules. */
const BUILT_WITHIN_MS = 600_000;

/** Path of the program, or why it is missing. */
export type Program = { readonly path: string } | { readonly missing: string };

/** @param source Package, as the module in `go/` names it. */
export async function goProgram(name: string, source: string): Promise<Program> {
  return build("go", name, (path) => ["build", "-C", join(import.meta.dirname, "go"), "-o", path, source]);
}

/** @param source File in this folder. */
export async function cProgram(name: string, source: string): Promise<Program> {
  const flags = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror"];
  return build("gcc", name, (path) => [...flags, "-o", path, join(import.meta.dirname, source)]);
}

async function build(compiler: string, name: string, args: (path: string) => readonly string[]): Promise<Program> {
  if (missingPrograms(compiler).length > 0) return { missing: compiler };
  mkdirSync(built, { recursive: true });
  const path = join(built, name);
  try {
    await promisify(execFile)(compiler, args(path), { timeout: BUILT_WITHIN_MS });
    return { path };
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split("\n").at(-1);
    return { missing: `${name}, which did not build (${said || (error as Error).message})` };
  }
}

/** Why there is no native module here; it is built where that is possible. */
export async function nativeMissing(): Promise<string[]> {
  if (loads()) return [];
  const compilers = missingPrograms("gcc", "make", "python3");
  if (compilers.length > 0) return [`the native module or, to build it, ${compilers.join(", ")}`];
  try {
    await buildNative();
    return loads() ? [] : ["a native module that loads"];
  } catch (error) {
    return [`the native module, which did not build (${(error as Error).message.trim().split("\n").at(-1)})`];
  }
}

function loads(): boolean {
  try {
    createRequire(import.meta.url)(join(root, "packages/udp-batch/index.cjs"));
    return true;
  } catch {
    return false;
  }
}
