import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { executableFaults } from "./check-executable.ts";
import { machFile, peFile } from "./made-files.ts";

const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:";
const [IN, OUT] = [`${FUSE}1`, `${FUSE}0`];

describe("the check of an executable", () => {
  it("accepts one for Windows of the right kind, and names what is wrong with others", () => {
    const windows = { os: "win32", arch: "x64" } as const;
    expect(executableFaults(windows, peFile(0x8664, 3, { content: IN }), {})).toEqual([]);
    expect(executableFaults(windows, peFile(0xaa64, 2, { content: OUT }), {})).toEqual([
      "the fuse of a single executable is 0, not 1",
      "its processor is arm64, not x64",
      "its subsystem is graphical, not console",
    ]);
    expect(executableFaults(windows, peFile(0x8664, 3), {})).toEqual([
      "the fuse of a single executable is missing, not 1",
    ]);
    expect(executableFaults(windows, peFile(0x8664, 3, { content: IN + IN }), {})[0]).toContain("1,1");
  });

  it("names the processor and the missing signature of one for macOS", () => {
    expect(executableFaults({ os: "darwin", arch: "arm64" }, machFile(0x01000007, IN), {})).toEqual([
      "its processor is x64, not arm64",
      "its signature does not hold: it is not signed",
    ]);
  });

  it.runIf(process.platform === "linux" && process.arch === "x64")(
    "knows the oldest C library of one for Linux",
    () => {
      // Node's own executable needs glibc 2.28, which is allowed to it and too new for udp-batch.
      const node = readFileSync(process.execPath);
      const faults = (arch: "x64" | "arm64") =>
        executableFaults({ os: "linux", arch }, node, { koffi: node, "udp-batch": node });
      expect(faults("x64")).toEqual([
        "the fuse of a single executable is 0, not 1",
        "udp-batch needs glibc 2.28, and should run with 2.17",
      ]);
      expect(faults("arm64")).toContain("the processor of koffi is x64, not arm64");
    },
  );
});
