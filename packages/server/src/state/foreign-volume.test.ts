/**
 * State on container volumes: their root directories, and secrets in them, belong to root and are shared through the group, and a
 * server that runs as user 1000 may not change that. The tests need root, and switch to that user temporarily.
 */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServerError } from "../base/errors.ts";
import { SqliteBackend } from "../db/sqlite-backend.ts";
import { readServerKeys, writeNewKeys } from "./key-file.ts";
import { acquireStateDir } from "./state-dir.ts";

const USER = 1000;
const isRoot = process.geteuid?.() === 0;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coder-volume-"));
  chmodSync(folder, 0o755);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Synchronous, because anything else that this process does meanwhile would run as that user as well. */
function asUser<T>(work: () => T): T {
  const groups = process.getgroups!();
  process.setgroups!([USER]);
  process.setegid!(USER);
  process.seteuid!(USER);
  try {
    return work();
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
    process.setgroups!(groups);
  }
}

function volume(owner: number, mode: number): string {
  const path = join(folder, "volume");
  mkdirSync(path);
  chownSync(path, owner, USER);
  chmodSync(path, mode);
  return path;
}

function fault(work: () => unknown): ServerError {
  try {
    work();
  } catch (error) {
    if (error instanceof ServerError) return error;
    throw error;
  }
  throw new Error("it went well");
}

const modeOf = (path: string): number => statSync(path).mode & 0o7777;

describe.skipIf(!isRoot)(`state on a volume${isRoot ? "" : ": skipped without root"}`, () => {
  it.each([
    [0, "2777", "every user of this machine may replace what is in it"],
    [0, "2775", "every user of this machine may list what is in it"],
    [0, "2770", undefined],
    [1234, "2770", "it belongs to another user (1234), who may replace what is in it"],
  ])("a root of user %i with mode %s is used as it is", (owner, octal, exposure) => {
    const mode = Number.parseInt(octal, 8);
    const path = volume(owner, mode);
    const held = asUser(() => acquireStateDir(path));
    expect([held.exposure, modeOf(path), modeOf(join(path, "server.lock"))]).toEqual([exposure, mode, 0o600]);
    expect(fault(() => asUser(() => acquireStateDir(path))).code).toBe("ERR_STATE_DIR_IN_USE");
    held.release();
  });

  it("a folder below the root is private", () => {
    const path = join(volume(0, 0o2777), "state");
    const held = asUser(() => acquireStateDir(path));
    expect([held.exposure, modeOf(path) & 0o777, statSync(path).uid]).toEqual([undefined, 0o700, USER]);
    held.release();
  });

  it.each(["exclusive", "shared"] as const)(
    "one that the user may not write to is refused with the true reason: %s",
    (use) => {
      const path = volume(0, 0o2755);
      const { code, why } = fault(() => asUser(() => acquireStateDir(path, use)));
      expect([code, why]).toEqual(["ERR_STATE_DIR", "it is not writable for this user"]);
    },
  );

  it("a database that root copied there is used unchanged", async () => {
    const path = join(volume(0, 0o2770), "coder.db");
    await new SqliteBackend(path).close();
    chownSync(path, 0, USER);
    chmodSync(path, 0o660);
    const backend = asUser(() => new SqliteBackend(path));
    expect(modeOf(path)).toBe(0o660);
    await backend.close();
  });
});

describe.skipIf(!isRoot)(`a key file on a volume${isRoot ? "" : ": skipped without root"}`, () => {
  function keyFile(owner: number, group: number, mode: number): string {
    const path = join(folder, "keys.json");
    writeNewKeys(path);
    chownSync(path, owner, group);
    chmodSync(path, mode);
    return path;
  }

  it.each(["440", "640", "660"])(
    "that belongs to root and is readable by the group: mode %s is accepted and kept",
    (octal) => {
      const mode = Number.parseInt(octal, 8);
      const path = keyFile(0, USER, mode);
      expect(asUser(() => readServerKeys(path)).fingerprint).toMatch(/^[0-9a-f]{32}$/);
      expect(modeOf(path)).toBe(mode);
    },
  );

  it("that belongs to the server is narrowed", () => {
    const path = keyFile(USER, USER, 0o644);
    asUser(() => readServerKeys(path));
    expect(modeOf(path)).toBe(0o600);
  });

  it.each([
    [0, "444", "every user of this machine may reach it, and it belongs to another user (0)", 'chmod o= "'],
    [1234, "640", "its group may reach it, and it belongs to another user (1234)", 'chmod g= "'],
    [0, "600", "this user may not read it", "make it readable for this user"],
  ])("of user %i with mode %s is refused, by what is true", (owner, octal, why, next) => {
    const path = keyFile(owner, USER, Number.parseInt(octal, 8));
    const error = fault(() => asUser(() => readServerKeys(path)));
    expect([error.code, error.why]).toEqual(["ERR_KEY_FILE", why]);
    expect(error.nextSteps[0]).toContain(next);
  });

  it("that is not JSON is reported as such, and only as such", () => {
    const path = keyFile(0, USER, 0o440);
    writeFileSync(path, "no JSON");
    expect(fault(() => asUser(() => readServerKeys(path))).why).toBe("it cannot be read as JSON");
    expect(readFileSync(path, "utf8")).toBe("no JSON");
  });
});
