import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeDirectories } from "./make-directories.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coder-directories-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("makeDirectories", () => {
  it("makes what is missing for this person only, and leaves what is there", () => {
    const path = join(folder, "a", "b", "c");
    makeDirectories(path);
    makeDirectories(path);
    expect([statSync(path).isDirectory(), statSync(join(folder, "a")).mode & 0o777]).toEqual([true, 0o700]);
  });

  it("fails below a file", () => {
    writeFileSync(join(folder, "file"), "");
    expect(() => makeDirectories(join(folder, "file", "x", "y"))).toThrow(/ENOTDIR/);
  });

  it.runIf(process.platform === "linux")("fails below /proc, where the recursive form of Node never returns", () => {
    expect(() => makeDirectories("/proc/no-such-place/config")).toThrow(/ENOENT/);
  });
});
