import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fuses, linuxProcessor, macProcessor, windowsFacts } from "./foreign-files.ts";
import { machFile, peFile } from "./made-files.ts";

describe("the reader of executables for other systems", () => {
  it("knows processor and subsystem of a PE file", () => {
    expect(windowsFacts(peFile(0x8664, 3))).toEqual({ machine: "x64", subsystem: "console" });
    expect(windowsFacts(peFile(0xaa64, 2))).toEqual({ machine: "arm64", subsystem: "graphical" });
    expect(windowsFacts(peFile(0x14c, 1))).toEqual({ machine: "other", subsystem: "other" });
  });

  it("refuses what is not a 64-bit PE file, at any length", () => {
    expect(() => windowsFacts(peFile(0x8664, 3, { magic: 0x10b }))).toThrow("not a 64-bit PE file");
    const whole = peFile(0x8664, 3);
    for (let length = 0; length < 0x98 + 70; length++)
      expect(() => windowsFacts(whole.subarray(0, length))).toThrow("PE");
    whole.writeUInt32LE(0xffff_fff0, 0x3c);
    expect(() => windowsFacts(whole)).toThrow("no PE header");
  });

  it("knows the processor of a Mach-O file", () => {
    expect([machFile(0x01000007), machFile(0x0100000c), machFile(7)].map((file) => macProcessor(file))).toEqual([
      "x64",
      "arm64",
      "other",
    ]);
    expect(() => macProcessor(Buffer.alloc(4))).toThrow("Mach-O");
    expect(() => macProcessor(peFile(0x8664, 3))).toThrow("Mach-O");
  });

  it("knows the processor of an ELF file", () => {
    const header = Buffer.from("7f454c4602010100000000000000000003003e00", "hex");
    expect(linuxProcessor(header)).toBe("x64");
    header.writeUInt16LE(183, 18);
    expect(linuxProcessor(header)).toBe("arm64");
    for (let length = 0; length < header.length; length++)
      expect(() => linuxProcessor(header.subarray(0, length))).toThrow("ELF");
    expect(() => linuxProcessor(machFile(7))).toThrow("ELF");
  });

  it("finds the one fuse of Node itself, which is off", () => {
    expect(fuses(readFileSync(process.execPath))).toEqual(["0"]);
    expect(fuses(Buffer.from("nothing"))).toEqual([]);
  });
});
