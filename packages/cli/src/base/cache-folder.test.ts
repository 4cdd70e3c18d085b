import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cacheFolder } from "./cache-folder.ts";

let home: string;
const uid = process.getuid?.();
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "coder-cache-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe("the folder of compiled code", () => {
  it("is made below the home's cache, for this person only", () => {
    const folder = cacheFolder("compiled", { HOME: home }, uid);
    expect(folder).toBe(join(home, ".cache", "coder", "compiled"));
    expect(statSync(folder!).mode & 0o777).toBe(0o700);
    const other = join(home, "other");
    expect(cacheFolder("compiled", { HOME: home, XDG_CACHE_HOME: other }, uid)).toBe(join(other, "coder", "compiled"));
  });

  it("is not used when it belongs to somebody else, or others may write to it", () => {
    const folder = cacheFolder("compiled", { HOME: home }, uid)!;
    expect(cacheFolder("compiled", { HOME: home }, (uid ?? 0) + 1)).toBeUndefined();
    chmodSync(folder, 0o777);
    expect(cacheFolder("compiled", { HOME: home }, uid)).toBeUndefined();
  });

  it("is not used through a link, and none is used without a home or where none can be made", () => {
    mkdirSync(join(home, "real"), { mode: 0o700 });
    mkdirSync(join(home, ".cache", "coder"), { recursive: true });
    chmodSync(join(home, ".cache"), 0o700);
    symlinkSync(join(home, "real"), join(home, ".cache", "coder", "compiled"));
    expect(cacheFolder("compiled", { HOME: home }, uid)).toBeUndefined();
    expect(cacheFolder("compiled", {}, uid)).toBeUndefined();
    writeFileSync(join(home, "file"), "");
    expect(cacheFolder("compiled", { HOME: join(home, "file") }, uid)).toBeUndefined();
    expect(cacheFolder("compiled", { HOME: "/proc/no-such-place" }, uid)).toBeUndefined();
  });
});
