import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { defaultConfigDir, readConfig, removeConfig, writeConfig } from "./config-dir.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "coder-config-"));
  folders.push(folder);
  return folder;
}

describe("the stored login", () => {
  it.skipIf(process.geteuid?.() !== 0)(
    "is kept in the folder of another account that lets this one write (as root)",
    () => {
      const parent = temporary();
      chmodSync(parent, 0o755);
      const dir = join(parent, "volume");
      mkdirSync(dir);
      chmodSync(dir, 0o777);
      process.seteuid!(1000);
      try {
        writeConfig(dir, "session", "secret");
      } finally {
        process.seteuid!(0);
      }
      expect([statSync(dir).mode & 0o777, statSync(join(dir, "session")).mode & 0o777]).toEqual([0o777, 0o600]);
    },
  );

  it("security 1: is 0600 in a 0700 folder even under umask 000, and a wider mode is narrowed", () => {
    const dir = join(temporary(), "coderv2");
    const umask = process.umask(0);
    try {
      writeConfig(dir, "session", "secret");
      expect(statSync(dir).mode & 0o777).toBe(0o700);
      expect(statSync(join(dir, "session")).mode & 0o777).toBe(0o600);
      chmodSync(dir, 0o777);
      chmodSync(join(dir, "session"), 0o666);
      writeConfig(dir, "session", "other");
    } finally {
      process.umask(umask);
    }
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, "session")).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(["session"]);
  });

  it("is the bare value, as a stock CLI writes and reads it", () => {
    const dir = temporary();
    writeFileSync(join(dir, "url"), "https://coder.example.com\n");
    expect(readConfig(dir, "url")).toBe("https://coder.example.com");
    writeConfig(dir, "url", "https://other.example.com");
    expect(readFileSync(join(dir, "url"), "utf8")).toBe("https://other.example.com");
  });

  it("is absent when the file is missing, empty or removed", () => {
    const dir = temporary();
    expect(readConfig(dir, "session")).toBeUndefined();
    writeFileSync(join(dir, "session"), "\n");
    expect(readConfig(dir, "session")).toBeUndefined();
    writeConfig(dir, "session", "x");
    removeConfig(dir, "session");
    expect(readConfig(dir, "session")).toBeUndefined();
  });

  it("does not take another error for a missing file", () => {
    const dir = temporary();
    mkdirSync(join(dir, "session"));
    expect(() => readConfig(dir, "session")).toThrow("EISDIR");
  });

  it("lies where a stock CLI looks for it", () => {
    expect(defaultConfigDir({ HOME: "/h" }, "linux")).toBe("/h/.config/coderv2");
    expect(defaultConfigDir({ HOME: "/h", XDG_CONFIG_HOME: "/x" }, "linux")).toBe("/x/coderv2");
    expect(defaultConfigDir({ HOME: "/h" }, "darwin")).toBe("/h/Library/Application Support/coderv2");
  });
});
