import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isVersioned, lastingSelfCommand, ownArguments, selfCommand } from "./self-command.ts";

const script = {
  execPath: "/usr/bin/node",
  execArgv: ["--max-old-space-size=64"],
  argv: ["/usr/bin/node", "/opt/coder/coder.cjs", "agent", "-v"],
  single: false,
};
const single = {
  execPath: "/usr/local/bin/coder",
  execArgv: [],
  argv: ["/usr/local/bin/coder", "/usr/local/bin/coder", "agent", "-v"],
  single: true,
};

describe("restarting this program", () => {
  it("names Node and the script, or the executable alone", () => {
    expect([...selfCommand(script), ...ownArguments(script)]).toEqual([
      "/usr/bin/node",
      "--max-old-space-size=64",
      "/opt/coder/coder.cjs",
      "agent",
      "-v",
    ]);
    expect([...selfCommand(single), ...ownArguments(single)]).toEqual(["/usr/local/bin/coder", "agent", "-v"]);
  });

  it("knows the paths that an upgrade changes", () => {
    for (const path of [
      "/home/a/.nvm/versions/node/v26.10.0/bin/node",
      "/opt/homebrew/Cellar/node/26.10.0_1/bin/node",
      "/opt/node-v26.10.0-linux-x64/bin/node",
    ])
      expect(isVersioned(path), path).toBe(true);
    for (const path of ["/usr/bin/node", "/opt/homebrew/bin/node", "/opt/node26/bin/node"])
      expect(isVersioned(path), path).toBe(false);
  });
});

describe("a command that outlives upgrades", () => {
  let folder: string;
  const at = (...parts: string[]): string => join(folder, ...parts);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "coder-self-"));
    for (const dir of ["Cellar/node/26.10.0/bin", "bin", "other"]) mkdirSync(at(dir), { recursive: true });
    writeFileSync(at("Cellar/node/26.10.0/bin/node"), "");
    writeFileSync(at("other/node"), "");
    symlinkSync(at("Cellar/node/26.10.0/bin/node"), at("bin/node"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("goes through the link in the search path that leads to this very Node", () => {
    const program = { ...script, execArgv: [], execPath: at("Cellar/node/26.10.0/bin/node") };
    const searchPath = ["relative", at("none"), at("other"), at("Cellar/node/26.10.0/bin"), at("bin")].join(":");
    expect(lastingSelfCommand(searchPath, program)[0]).toBe(at("bin/node"));
    expect(lastingSelfCommand(at("other"), program)[0]).toBe(program.execPath);
    expect(lastingSelfCommand(undefined, program)[0]).toBe(program.execPath);
  });
});
