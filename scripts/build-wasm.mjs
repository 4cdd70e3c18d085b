// Compiles packages/wg-userspace/assembly to WASM and writes it as TypeScript, so that nothing has to be loaded at run time.
// --check only compares with what is committed.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folder = join(root, "packages/wg-userspace");
const target = join(folder, "src/aead/aead.wasm.ts");
/** 64 KiB each; must agree with the maximum in wasm-cipher.ts: the memory is created there, and never grows. */
const MAX_PAGES = 1024;

const temporary = mkdtempSync(join(tmpdir(), "wasm-"));
try {
  const out = join(temporary, "aead.wasm");
  execFileSync(
    process.execPath,
    [
      join(root, "node_modules/assemblyscript/bin/asc.js"),
      "assembly/index.ts",
      "-o",
      out,
      "-O3",
      "--converge",
      "--runtime",
      "stub",
      "--noAssert",
      "--importMemory",
      "--initialMemory",
      "1",
      "--maximumMemory",
      String(MAX_PAGES),
      "--enable",
      "simd",
    ],
    { cwd: folder, stdio: ["ignore", "inherit", "inherit"] },
  );
  const base64 = readFileSync(out).toString("base64");
  const lines = base64.match(/.{1,118}/g).map((line) => `  "${line}",`);
  const text = `/** Compiled from assembly/index.ts by scripts/build-wasm.mjs: do not edit. Base64. */\nexport const AEAD_WASM = [\n${lines.join("\n")}\n].join("");\n`;
  if (process.argv.includes("--check")) {
    if (readFileSync(target, "utf8") !== text) {
      process.stderr.write(`${target} is not what assembly/index.ts compiles to: run node scripts/build-wasm.mjs\n`);
      process.exitCode = 1;
    }
  } else {
    writeFileSync(target, text);
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}
