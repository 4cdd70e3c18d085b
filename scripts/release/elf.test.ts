import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { embedFunction, neededVersions, newestGlibc, stripped } from "./elf.ts";

/** Returns 7 for every input. */
const SEVEN = Buffer.from("b807000000c3", "hex");

describe.skipIf(process.platform !== "linux" || process.arch !== "x64")("the editor of ELF files", () => {
  // Node's own executable is available on every machine that runs this.
  const node = readFileSync(process.execPath);

  it("keeps a program working, and removes its debug symbols", () => {
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

  it("reads the versions that a program needs", () => {
    expect(newestGlibc(node)).toBe(28);
    expect([...neededVersions(node).keys()]).toContain("libc.so.6");
  });

  it.skipIf(!existsSync("/usr/bin/readelf"))("reads the versions that readelf lists (skipped without binutils)", () => {
    const listed = execFileSync("readelf", ["--version-info", "--wide", process.execPath], { encoding: "utf8" });
    const needs = listed.slice(listed.indexOf("Version needs section"));
    const names = [...needs.matchAll(/Name: (\w+\.[\d.]+)/g)].map(([, name]) => name);
    expect([...neededVersions(node).values()].flat()).toEqual(names);
  });

  it("refuses files that it cannot edit correctly", () => {
    const embed = (library: string, symbol: string, code = SEVEN) => {
      const file = Buffer.from(node);
      return () => embedFunction(file, { library, symbol, code });
    };
    expect(embed("libnone.so.1", "f")).toThrow("no version of libnone.so.1 is needed");
    expect(embed("libc.so.6", "malloc")).toThrow("more than one version of libc.so.6 is needed");
    expect(() => stripped(Buffer.alloc(4096))).toThrow("not a 64-bit little-endian ELF file");
  });
});
