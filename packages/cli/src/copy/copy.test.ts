import { randomBytes } from "node:crypto";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Copier } from "./copier.ts";
import type { FileSystem, SourceFile } from "./file-system.ts";
import { LocalFiles } from "./local-files.ts";
import { isSystemName, parseLocation, planCopy } from "./location.ts";

describe("locations", () => {
  it.each([
    ["notes.txt", undefined, "notes.txt"],
    ["./a:b", undefined, "./a:b"],
    ["/a:b", undefined, "/a:b"],
    [":x", undefined, ":x"],
    ["dev:notes.txt", "dev", "notes.txt"],
    ["dev:", "dev", "."],
    ["dev:~", "dev", "."],
    ["dev:~/", "dev", "."],
    ["dev:~/a/~", "dev", "a/~"],
    ["dev:~other/a", "dev", "~other/a"],
    ["dev:./~", "dev", "./~"],
    ["~/a", undefined, "~/a"],
    ["dev:/etc/a:b", "dev", "/etc/a:b"],
    ["alice--dev.main:x", "alice--dev.main", "x"],
  ])("%s", (text, workspace, path) => {
    expect(parseLocation(text, "linux")).toEqual(workspace === undefined ? { path } : { workspace, path });
  });

  it.each([
    ["/dev/stdout", true],
    ["//dev//fd/3", true],
    ["/proc/self/fd/1", true],
    ["/dev/shm/file", false],
    ["/home/dev/file", false],
    ["dev/file", false],
  ])("%s is a name of the system: %s", (path, expected) => {
    expect(isSystemName(path)).toBe(expected);
  });

  it("recognise drives on Windows", () => {
    expect(parseLocation("C:\\a", "win32")).toEqual({ path: "C:\\a" });
    expect(parseLocation("C:/a", "win32")).toEqual({ path: "C:/a" });
    expect(parseLocation("dev:a", "win32")).toEqual({ workspace: "dev", path: "a" });
    expect(parseLocation(".\\a:b", "win32")).toEqual({ path: ".\\a:b" });
  });

  it("make a plan when one side is this machine and the other one workspace", () => {
    expect(planCopy(["a", "b", "dev:c"])).toEqual({
      workspace: "dev",
      direction: "up",
      sources: ["a", "b"],
      destination: "c",
    });
    expect(planCopy(["dev:a", "dev:b", "."])).toEqual({
      workspace: "dev",
      direction: "down",
      sources: ["a", "b"],
      destination: ".",
    });
    expect(() => planCopy(["a", "b"])).toThrow("neither side");
    expect(() => planCopy(["a"])).toThrow("name a source and a destination");
    expect(() => planCopy(["dev:a", "dev:b"])).toThrow("one side");
    expect(() => planCopy(["dev:a", "ops:b", "."])).toThrow("several workspaces");
    expect(() => planCopy(["dev:a", "b", "."])).toThrow("neither side");
    expect(() => planCopy(["", "dev:a"])).toThrow("names no file");
  });
});

describe("copying", () => {
  let folder: string;
  let at: (...names: string[]) => string;
  const said: string[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "copy-"));
    at = (...names) => join(folder, ...names);
    mkdirSync(at("from"));
    mkdirSync(at("to"));
    said.length = 0;
  });

  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  const copier = (
    options: { from?: FileSystem; recursive?: boolean; signal?: AbortSignal; onProgress?: () => void } = {},
  ): Copier =>
    new Copier({
      from: options.from ?? new LocalFiles(),
      to: new LocalFiles(),
      recursive: options.recursive ?? false,
      sync: false,
      signal: options.signal ?? new AbortController().signal,
      onProgress: options.onProgress ?? (() => undefined),
      say: (line) => said.push(line),
    });

  it.each([0, 1, 32 * 1024, 5_000_001])(
    "a file of %i bytes arrives with its mode, and nothing is left beside it",
    async (length) => {
      const bytes = randomBytes(length);
      writeFileSync(at("from", "a"), bytes, { mode: 0o751 });
      const run = copier();
      await run.copy([at("from", "a")], at("to"));
      expect(readFileSync(at("to", "a")).equals(bytes)).toBe(true);
      expect(statSync(at("to", "a")).mode & 0o777).toBe(0o751);
      expect(readdirSync(at("to"))).toEqual(["a"]);
      expect(run.result).toEqual({ files: 1, bytes: length, resumedBytes: 0, skipped: 0 });
    },
  );

  it("a directory arrives with everything in it", async () => {
    mkdirSync(at("from", "d", "e"), { recursive: true });
    writeFileSync(at("from", "d", "e", "ä b"), "content");
    symlinkSync("e/ä b", at("from", "d", "link"));
    symlinkSync("nowhere", at("from", "d", "dangling"));
    await copier({ recursive: true }).copy([at("from", "d")], at("to"));
    expect(readFileSync(at("to", "d", "e", "ä b"), "utf8")).toBe("content");
    expect(readFileSync(at("to", "d", "link"), "utf8")).toBe("content");
    expect(said).toEqual([expect.stringContaining("a link to nothing")]);
  });

  it("resumes an earlier attempt, but not the beginning of another file", async () => {
    const bytes = randomBytes(3_000_000);
    writeFileSync(at("from", "a"), bytes);
    writeFileSync(at("to", "a.coder-part"), bytes.subarray(0, 1_234_567));
    const resumed = copier();
    await resumed.copy([at("from", "a")], at("to", "a"));
    expect(resumed.result.resumedBytes).toBe(1_234_567);
    writeFileSync(at("to", "a.coder-part"), randomBytes(1_000));
    const again = copier();
    await again.copy([at("from", "a")], at("to", "a"));
    expect(again.result.resumedBytes).toBe(0);
    expect(readFileSync(at("to", "a")).equals(bytes)).toBe(true);
  });

  it("when it is stopped, leaves a partial file beside the old one", async () => {
    const bytes = randomBytes(3_000_000);
    writeFileSync(at("from", "a"), bytes);
    writeFileSync(at("to", "a"), "old");
    const stop = new AbortController();
    let blocks = 0;
    const onProgress = (): void => {
      if (++blocks === 20) stop.abort(new Error("stopped"));
    };
    await expect(copier({ signal: stop.signal, onProgress }).copy([at("from", "a")], at("to"))).rejects.toThrow(
      "stopped",
    );
    expect(readFileSync(at("to", "a"), "utf8")).toBe("old");
    const part = readFileSync(at("to", "a.coder-part"));
    expect(part.length).toBeGreaterThan(0);
    expect(part.equals(bytes.subarray(0, part.length))).toBe(true);
  });

  it("detects a file that changes while it is copied", async () => {
    writeFileSync(at("from", "a"), randomBytes(12_000_000)); // larger than the read-ahead
    const shrinking = copier({ onProgress: () => truncateSync(at("from", "a"), 100) });
    await expect(shrinking.copy([at("from", "a")], at("to"))).rejects.toMatchObject({
      why: expect.stringMatching(/shorter/),
    });
  });

  it("detects a file whose content changes between two reads", async () => {
    const source = at("from", "a");
    writeFileSync(source, Buffer.alloc(300_000, 1));
    utimesSync(source, 1000, 1000);
    const local = new LocalFiles();
    const changing: FileSystem = Object.assign(Object.create(local) as FileSystem, {
      openRead: async (path: string): Promise<SourceFile> => {
        const file = await local.openRead(path);
        let first: Promise<number> | undefined;
        const changed: SourceFile = {
          facts: () => file.facts(),
          finish: async () => {
            await first;
            return file.finish();
          },
          abandon: () => file.abandon(),
          read: (offset, target) => {
            if (first !== undefined) return first.then(() => file.read(offset, target));
            first = file.read(offset, target).then((count) => {
              writeFileSync(source, Buffer.alloc(300_000, 2));
              return count;
            });
            return first;
          },
        };
        return changed;
      },
    });
    await expect(copier({ from: changing }).copy([source], at("to"))).rejects.toMatchObject({ code: "ERR_CHECKSUM" });
    expect(readdirSync(at("to"))).toEqual([]);
  });

  it("what was there keeps its permissions, and what is new gets those of the umask", async () => {
    const umask = process.umask();
    for (const name of ["old", "new"]) {
      mkdirSync(at("from", "d", name), { recursive: true });
      chmodSync(at("from", "d", name), 0o777);
      writeFileSync(at("from", "d", name, "file"), name);
      chmodSync(at("from", "d", name, "file"), 0o666);
    }
    mkdirSync(at("to", "d", "old"), { recursive: true });
    writeFileSync(at("to", "d", "old", "file"), "before");
    const kept = { [at("to", "d")]: 0o700, [at("to", "d", "old")]: 0o711, [at("to", "d", "old", "file")]: 0o600 };
    for (const [path, mode] of Object.entries(kept)) chmodSync(path, mode);
    await copier({ recursive: true }).copy([at("from", "d")], at("to"));
    expect(readFileSync(at("to", "d", "old", "file"), "utf8")).toBe("old");
    const modes = { ...kept, [at("to", "d", "new")]: 0o777 & ~umask, [at("to", "d", "new", "file")]: 0o666 & ~umask };
    for (const [path, mode] of Object.entries(modes)) expect([path, statSync(path).mode & 0o777]).toEqual([path, mode]);
  });

  it("a leftover with a second name is not written to", async () => {
    const bytes = randomBytes(3_000_000);
    writeFileSync(at("from", "a"), bytes);
    writeFileSync(at("other"), bytes.subarray(0, 2_000_000));
    linkSync(at("other"), at("to", "a.coder-part"));
    const run = copier();
    await run.copy([at("from", "a")], at("to", "a"));
    expect(run.result.resumedBytes).toBe(0);
    expect(statSync(at("other")).size).toBe(2_000_000);
    expect(readFileSync(at("to", "a")).equals(bytes)).toBe(true);
  });

  it.each(["../evil", "a/b", "..", "a\0b", "a\\b"])(
    "the name %j from the other side writes nothing elsewhere",
    async (name) => {
      mkdirSync(at("from", "d"));
      writeFileSync(at("from", "good"), "good");
      const local = new LocalFiles();
      const hostile: FileSystem = Object.assign(Object.create(local) as FileSystem, {
        list: async function* () {
          yield [{ name }, { name: "good" }];
        },
        join: () => at("from", "good"),
      });
      await copier({ from: hostile, recursive: true }).copy([at("from", "d")], at("to", "d"));
      expect(said).toEqual([expect.stringContaining("its name would lead out of its directory")]);
      expect(readdirSync(at("to"))).toEqual(["d"]);
      expect(readdirSync(at("to", "d"))).toEqual(["good"]);
    },
  );

  it("reports what is in the way", async () => {
    mkdirSync(at("from", "d"));
    writeFileSync(at("from", "a"), "");
    await expect(copier().copy([at("from", "none")], at("to"))).rejects.toThrow("There is no file");
    await expect(copier().copy([at("from", "d")], at("to"))).rejects.toThrow("is a directory");
    await expect(copier().copy([at("from", "a")], `${at("to", "none")}/`)).rejects.toThrow("There is no directory");
    await expect(copier().copy([at("from", "a"), at("from", "a")], at("to", "x"))).rejects.toThrow(
      "There is no directory",
    );
    await expect(copier().copy([at("from", "a")], at("to", "none", "a"))).rejects.toThrow("Cannot copy");
  });
});
