/** What a copy must not do to files of others, and what it must report. */
import { randomBytes } from "node:crypto";
import { REQUEST, STATUS } from "coder-agent/services/ssh/sftp/codec";
import { describe, expect, it } from "vitest";
import { BLOCK_BYTES } from "./block-pool.ts";
import type { FileSystem, SourceFile } from "./file-system.ts";
import { type Direction, type Lab, lab } from "./testing/lab.ts";
import { MemoryDevice, MemoryFile, type MemoryTree } from "./testing/memory-tree.ts";

const WAYS = ["up", "down"] as const;

function sides({ here, server }: Lab, way: Direction): { from: MemoryTree; to: MemoryTree } {
  return way === "up" ? { from: here, to: server.tree } : { from: server.tree, to: here };
}

function changed(files: FileSystem, changes: Partial<FileSystem>): FileSystem {
  return new Proxy(files, {
    get: (target, name) => {
      const value: unknown = Reflect.get(changes, name) ?? Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Reads at or after `offset` wait for `gate`. */
function gated(files: FileSystem, offset: number, gate: Promise<void>): FileSystem {
  return changed(files, {
    openRead: async (path) => {
      const file = await files.openRead(path);
      const gatedFile: SourceFile = {
        facts: () => file.facts(),
        read: async (at, target) => {
          if (at >= offset) await gate;
          return file.read(at, target);
        },
        finish: () => gate.then(() => file.finish()),
        abandon: () => file.abandon(),
      };
      return gatedFile;
    },
  });
}

describe("two copies to one destination", () => {
  const BEGINNING = randomBytes(20 * BLOCK_BYTES);
  const contentOf = (name: string): Buffer => Buffer.concat([BEGINNING, Buffer.alloc(20 * BLOCK_BYTES, name)]);

  it.each(WAYS)("%s: the one that reports success has its own content there", async (way) => {
    const world = await lab();
    const { from, to } = sides(world, way);
    for (const name of ["first", "second"]) from.put(name, contentOf(name));
    const gate = Promise.withResolvers<void>();
    let now = 0;
    const stalled = gated(way === "up" ? world.local : world.remote, BEGINNING.length, gate.promise);
    const first = world.copier(way, { from: stalled, now: () => now }).copy(["first"], "x");
    const outcome = first.then(
      () => "success",
      (error: { why?: string }) => error.why,
    );
    while (to.file("x.coder-part")?.size !== BEGINNING.length) await new Promise(setImmediate);
    const second = world.copier(way);
    await second.copy(["second"], "x");
    expect(second.result.resumedBytes).toBe(BEGINNING.length);
    now = 10_000;
    gate.resolve();
    expect(await outcome).toContain("took over its part file");
    expect(to.file("x")!.bytes().equals(contentOf("second"))).toBe(true);
    expect(Object.keys(to.texts()).filter((name) => name.startsWith("x"))).toEqual(["x"]);
  });

  it.each(WAYS)("%s: a part that something still writes to is not resumed", async (way) => {
    const world = await lab();
    const { from, to } = sides(world, way);
    from.put("a", contentOf("a"));
    to.put("a.coder-part", BEGINNING);
    const written = to.file("a.coder-part")!;
    const files = way === "up" ? world.remote : world.local;
    const growing = changed(files, {
      hash: async (path, bytes) => {
        const digest = await files.hash(path, bytes);
        written.write(written.size, Buffer.from("more"));
        return digest;
      },
    });
    const run = world.copier(way, { to: growing });
    await run.copy(["a"], "a");
    expect(run.result.resumedBytes).toBe(0);
    written.write(0, Buffer.from("of the other copy"));
    expect(to.file("a")!.bytes().equals(contentOf("a"))).toBe(true);
  });

  it("a part that is gone is final, and what has its name is left alone", async () => {
    const { here, server, copier } = await lab({
      fault: ({ type }) => {
        if (type === REQUEST.fsetstat) server.tree.put("a.coder-part", MemoryFile.of("content", 0o600));
        return undefined;
      },
    });
    here.put("a", "content");
    server.tree.put("a", "old");
    await expect(copier("up").copy(["a"], "a")).rejects.toMatchObject({ why: expect.stringContaining("replaced") });
    expect(server.tree.texts()).toEqual({ a: "old", "a.coder-part": "content" });
  });
});

describe("what is there", () => {
  it.each(WAYS)("%s: /dev/stdout is not replaced, although it may lead to a regular file", async (way) => {
    const world = await lab();
    const { from, to } = sides(world, way);
    from.put("a", Buffer.from("new"));
    to.put("/dev/stdout", Buffer.from("output"));
    await expect(world.copier(way).copy(["a"], "/dev/stdout")).rejects.toMatchObject({ code: "ERR_NO_REGULAR_FILE" });
    expect(to.file("/dev/stdout")?.bytes().toString()).toBe("output");
  });

  it.each(WAYS)("%s: a device is not replaced", async (way) => {
    const world = await lab();
    const { from, to } = sides(world, way);
    from.put("a", "content");
    to.put("null", new MemoryDevice());
    await expect(world.copier(way).copy(["a"], "null")).rejects.toMatchObject({ code: "ERR_NO_REGULAR_FILE" });
    expect(to.find("null")).toBeInstanceOf(MemoryDevice);
    expect(to.find("null.coder-part")).toBeUndefined();
  });

  it.each(WAYS)("%s: a leftover of another user is replaced", async (way) => {
    const world = await lab();
    const { from, to } = sides(world, way);
    const content = randomBytes(3_000_000);
    from.put("a", content);
    to.put("a.coder-part", content.subarray(0, 2_000_000));
    const foreign = to.file("a.coder-part")!;
    foreign.owner = 4711;
    const run = world.copier(way);
    await run.copy(["a"], "a");
    expect(run.result.resumedBytes).toBe(0);
    expect(foreign.size).toBe(2_000_000);
    expect(to.file("a")!.owner).toBe(to.user);
  });

  it("a leftover whose permissions may not be changed is replaced", async () => {
    let refused = false;
    const { here, server, copier } = await lab({
      fault: ({ type }) => {
        if (type !== REQUEST.fsetstat || refused) return undefined;
        refused = true;
        return STATUS.permissionDenied;
      },
    });
    const content = randomBytes(3_000_000);
    here.put("a", content);
    server.tree.put("a.coder-part", content.subarray(0, 2_000_000));
    const run = copier("up");
    await run.copy(["a"], "a");
    expect([refused, run.result.resumedBytes]).toEqual([true, 0]);
    expect(server.tree.file("a")!.bytes().equals(content)).toBe(true);
    expect(await server.openHandles()).toBe(0);
  });

  it("a server without posix-rename: the old file stays when the new one may not take its place", async () => {
    for (const code of [STATUS.permissionDenied, STATUS.failure]) {
      const { here, server, copier } = await lab({
        extensions: [],
        fault: ({ type, path }) => (type === REQUEST.rename && path === "a.coder-part" ? code : undefined),
      });
      here.put("a", "new");
      server.tree.put("a", "old");
      await expect(copier("up").copy(["a"], "a")).rejects.toMatchObject({ code: "ERR_COPY" });
      expect(server.tree.texts()).toEqual({ a: "old" });
      expect(server.count(REQUEST.remove)).toBe(1); // the part file
    }
  });
});

describe("the shell of the workspace", () => {
  it.each(["a\\'; touch pwned; #", "it's", "a\nb", "$(id)", "ä"])("is not given the name %j", async (name) => {
    const { here, server, commands, copier } = await lab();
    const content = randomBytes(2_000_000);
    here.put(name, content);
    server.tree.put(`${name}.coder-part`, content.subarray(0, 1_500_000));
    await copier("up").copy([name], name);
    expect(server.tree.file(name)!.bytes().equals(content)).toBe(true);
    expect(commands.filter((command) => command.includes("sha256sum"))).toEqual([]);
    expect(server.count(REQUEST.read)).toBeGreaterThan(0); // the remote file is read back for comparison
  });

  it("is given absolute paths", async () => {
    const { here, server, commands, copier } = await lab();
    const content = randomBytes(2_000_000);
    here.put("a b", content);
    server.tree.put("a b.coder-part", content.subarray(0, 1_500_000));
    const run = copier("up");
    await run.copy(["a b"], "a b");
    expect(run.result.resumedBytes).toBe(1_500_000);
    expect(commands).toContain("head -c 1500000 < '/a b.coder-part' | sha256sum");
  });
});

describe("sources that change", () => {
  it("a log that keeps growing arrives as it was when it was opened", async () => {
    const world = await lab({
      fault: ({ type, path }) => {
        const log = world.server.tree.file("log")!;
        if (type === REQUEST.open && path === "log") log.write(log.size, Buffer.from("a line\n"));
        return undefined;
      },
    });
    world.server.tree.put("log", "begin\n");
    await world.copier("down").copy(["log"], "log");
    expect(world.here.file("log")!.bytes().toString()).toMatch(/^begin\n(a line\n)+$/);
  });

  it.each(WAYS)("%s: a prefix that changes after its comparison is noticed", async (way) => {
    const world = await lab();
    const { from, to } = sides(world, way);
    const content = randomBytes(3_000_000);
    from.put("a", content);
    to.put("a.coder-part", content.subarray(0, 2_000_000));
    const files = way === "up" ? world.local : world.remote;
    const changing = changed(files, {
      hash: async (path, bytes) => {
        const digest = await files.hash(path, bytes);
        from.file("a")!.write(0, Buffer.from("changed"));
        from.file("a")!.modifiedMs += 1000;
        return digest;
      },
    });
    await expect(world.copier(way, { from: changing }).copy(["a"], "a")).rejects.toMatchObject({
      code: "ERR_CHECKSUM",
    });
  });
});

it.each([
  ["EACCES", "it may not be read or written by this user"],
  ["EIO", "broken"],
  [3, "it may not be read or written by the workspace's user"],
])("an entry that cannot be looked at (%s) is skipped, and the rest is copied", async (code, reason) => {
  const world = await lab();
  world.here.put("from/a", "a");
  world.here.put("from/hidden", { kind: "link", target: "from/a" });
  world.here.put("from/z", "z");
  const stat = world.local.stat.bind(world.local);
  world.local.stat = (path) =>
    path.endsWith("hidden") ? Promise.reject(Object.assign(new Error("broken"), { code })) : stat(path);
  const run = world.copier("up");
  await run.copy(["from"], "to");
  expect(run.result).toMatchObject({ files: 2, skipped: 1 });
  expect(world.said).toEqual([`Skipped from/hidden: ${reason}`]);
});

it.each(WAYS)("%s: everything that is skipped is reported and counted", async (way) => {
  const world = await lab();
  const { from, to } = sides(world, way);
  from.put("from/a", "a");
  from.put("from/b.coder-part", "of another copy");
  from.put("from/dangling", { kind: "link", target: "nowhere" });
  from.put("from/device", new MemoryDevice());
  from.put("from/not\ufffdutf8", { kind: "link", target: "nowhere" });
  const run = world.copier(way);
  await run.copy(["from"], "to");
  expect(Object.keys(to.texts(to.directory("to")))).toEqual(["a"]);
  expect(run.result).toMatchObject({ files: 1, skipped: 4 });
  expect(world.said.map((line) => /^Skipped .*: (.*)$/.exec(line)?.[1]).sort()).toEqual([
    "a link to nothing",
    "a part of another copy",
    "its name is not UTF-8",
    "not a regular file",
  ]);
});
