/** V8's code cache of the bundles, made by running them: an executable that has it need not compile at each start. */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Script } from "node:vm";

/** A URL without a listener: the started command fails after it has loaded and begun. */
const UNREACHABLE = "http://127.0.0.1:1";
const REPEATABLE = ["--hash-seed=1", "--predictable", "--single-threaded"];
const LIMIT_MS = 120_000;
/** Offset of the hash of V8's flags in its cache. */
const FLAGS_AT = 12;

const RUNS: readonly (readonly [bundles: string, words: readonly string[]])[] = [
  ["coder.cjs", ["version"]],
  ["start.cjs,cli.cjs", ["list"]],
  ["help.cjs", ["--help"]],
  // Loaded on its own: whether a command paints its progress depends on how long it takes.
  ["colours.cjs", []],
  ["ssh-stdio.cjs", ["ssh", "--stdio", "demo"]],
  ["network.cjs", ["ping", "demo"]],
  ["agent.cjs", []],
  ["server.cjs", []],
  ["wsproxy.cjs", []],
  ["local-terminal.cjs", []],
];

/**
 * Writes `NAME.cache` beside each bundle of the folder. Valid only for the platform and the version of the Node that
 * runs this.
 */
export async function writeCodeCaches(folder: string): Promise<readonly string[]> {
  const home = mkdtempSync(join(tmpdir(), "coder-compiled-"));
  const env = {
    PATH: process.env["PATH"],
    HOME: home,
    CODER_URL: UNREACHABLE,
    CODER_SESSION_TOKEN: "none",
    CODER_NO_NATIVE: "1",
  };
  const program = join(import.meta.dirname, "compiled.ts");
  try {
    for (const [bundles, words] of RUNS)
      await promisify(execFile)(process.execPath, [...REPEATABLE, program, folder, bundles, ...words], {
        env,
        timeout: LIMIT_MS,
      }).catch((error: { code?: unknown }) => {
        if (typeof error.code !== "number") throw error;
      });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
  const names = RUNS.flatMap(([bundles]) => bundles.split(","));
  for (const name of names) withOwnFlags(join(folder, `${name}.cache`));
  return names;
}

/**
 * V8 refuses a cache made with other flags. The flags for repeatable results change nothing in the code, so their hash
 * is replaced by that of a program without any. A test checks that V8 accepts it.
 */
function withOwnFlags(file: string): void {
  const compiled = readFileSync(file);
  new Script("0").createCachedData().copy(compiled, FLAGS_AT, FLAGS_AT, FLAGS_AT + 4);
  writeFileSync(file, compiled);
}
