import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { embedFunction, stripped } from "./elf.ts";

/** Returns 7, whatever it is given. */
const SEVEN = Buffer.from("b807000000c3", "hex");

describe.skipIf(process.platform !== "linux" || process.arch !== "x64")("the editor of ELF files", () => {
  // Node's own executable is one that every machine has which runs this.
  const node = readFileSync(process.execPath);

  it("leaves a program that runs as before, without what debuggers read", () => {
    const folder = mkdtempSync(join(tmpdir(), "coder-elf-"));
    try {
      const file = join(folder, "node");
      const small = stripped(node);
      expect(small.length).toBeLessThan(node.length);
      expect(stripped(small).equals(small)).toBe(true);
      writeFileSync(file, small, { mode: 0o755 });
      expect(execFileSync(file, ["-p", "6 * 7"], { encoding: "utf8", env: {} })).toBe("42\n");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("refuses what it cannot do right", () => {
    const embed = (library: string, symbol: string, code = SEVEN) => {
      const file = Buffer.from(node);
      return () => embedFunction(file, { library, symbol, code });
    };
    expect(embed("libnone.so.1", "f")).toThrow("no version of libnone.so.1 is needed");
    expect(embed("libc.so.6", "malloc")).toThrow("more than one version of libc.so.6 is needed");
    expect(() => stripped(Buffer.alloc(4096))).toThrow("not a 64-bit little-endian ELF file");
  });
});
