/** Copying to and from a strict SFTP server in memory, whose round trips are counted. */
import { randomBytes } from "node:crypto";
import { OPEN, REQUEST, STATUS } from "coder-agent/services/ssh/sftp/codec";
import { describe, expect, it } from "vitest";
import { type Direction, lab } from "./testing/lab.ts";
import { MemoryFile, type MemoryTree } from "./testing/memory-tree.ts";
import { OPENSSH_EXTENSIONS, type StrictServerOptions } from "./testing/strict-server.ts";

function fill(tree: MemoryTree, folders: number, files: number): void {
  for (let folder = 0; folder < folders; folder++) {
    for (let file = 0; file < files; file++) tree.put(`from/d${folder}/f${file}`, `content ${folder} ${file}`);
  }
}

/** Names and contents of the files below a folder. */
function below(tree: MemoryTree, folder: string): Record<string, string> {
  const found = tree.directory(folder);
  return found === undefined ? {} : tree.texts(found);
}

describe("round trips in sequence", () => {
  const FILES_AT_ONCE = 64;

  it.each([64, 640, 1000])("an upload of %i files in a directory needs 3 for every 64 of them", async (count) => {
    const { here, server, copier } = await lab();
    fill(here, 1, count);
    server.tree.put("to/x", "");
    await copier("up").copy(["from/d0"], "to");
    expect(below(server.tree, "to/d0")).toEqual(below(here, "from/d0"));
    // Four for version, destination, directory and its permissions.
    expect(server.rounds).toBeLessThanOrEqual(4 + 3 * Math.ceil(count / FILES_AT_ONCE));
    expect(server.violations).toEqual([]);
  });

  it.each([64, 640, 1000])("a download of %i files in a directory needs 2 for every 64 of them", async (count) => {
    const { here, server, copier } = await lab();
    fill(server.tree, 1, count);
    here.put("to/x", "");
    await copier("down").copy(["from/d0"], "to");
    expect(below(here, "to/d0")).toEqual(below(server.tree, "from/d0"));
    // Version, source, list; each page of 100 is listed while the previous one is copied.
    expect(server.rounds).toBeLessThanOrEqual(4 + 2 * Math.ceil(count / FILES_AT_ONCE) + Math.ceil(count / 100));
    expect(await server.openHandles()).toBe(0);
    expect(server.violations).toEqual([]);
  });

  it.each<Direction>(["up", "down"])("%s: 200 directories of 5 files do not wait for each other", async (direction) => {
    const { here, server, copier } = await lab();
    const [from, to] = direction === "up" ? [here, server.tree] : [server.tree, here];
    fill(from, 200, 5);
    to.put("to/x", "");
    await copier(direction).copy(["from"], "to");
    expect(below(to, "to/from")).toEqual(below(from, "from"));
    expect(server.rounds).toBeLessThanOrEqual(10 + 200);
    expect(server.violations).toEqual([]);
  });

  it("a file of 20 MB is asked for 8 MiB at a time", async () => {
    const { here, server, copier } = await lab();
    server.tree.put("from/a", randomBytes(20_000_000));
    here.put("to/x", "");
    await copier("down").copy(["from/a"], "to");
    expect(here.file("to/a")!.bytes().equals(server.tree.file("from/a")!.bytes())).toBe(true);
    expect(server.count(REQUEST.read)).toBe(Math.ceil(20_000_000 / (128 * 1024)));
    expect(server.rounds).toBeLessThanOrEqual(6 + Math.ceil(20_000_000 / (8 << 20)));
  });

  it("a directory of 2,000 files is held a page at a time, with bounded handles and requests", async () => {
    const { here, server, copier } = await lab();
    fill(server.tree, 1, 2_000);
    here.put("to/x", "");
    let ahead = 0;
    const run = copier("down", {
      onProgress: ({ files }) => {
        ahead = Math.max(ahead, 100 * server.count(REQUEST.readdir) - files);
      },
    });
    await run.copy(["from/d0"], "to");
    expect(run.result.files).toBe(2_000);
    expect(ahead).toBeLessThanOrEqual(100 * 5);
    expect(server.mostHandles.files).toBeLessThanOrEqual(2 * FILES_AT_ONCE);
    expect(server.mostOutstanding).toBeLessThanOrEqual(5 * FILES_AT_ONCE);
  });

  it("the workspace hashes nothing when nothing is resumed, and nothing is looked up in a new directory", async () => {
    const { here, server, copier } = await lab();
    fill(here, 1, 10);
    await copier("up").copy(["from/d0"], "to");
    expect(server.count(REQUEST.read)).toBe(0);
    expect(server.count(REQUEST.stat)).toBe(1); // the destination
  });
});

const SERVERS: Record<string, StrictServerOptions> = {
  "OpenSSH's": {},
  "without extensions": { extensions: [] },
  "that answers in any order": { shuffled: true },
  "that answers with 32 KiB at most": { readBytes: 32 * 1024 },
  "that answers with 5,000 bytes at most, without extensions": { extensions: [], readBytes: 5_000 },
  "whose limits are small": { limits: [34_000, 8_192, 8_192, 6] },
  "whose lists have no attributes": { bareLists: true },
};

describe.each(Object.entries(SERVERS))("a server %s", (_name, options) => {
  it.each<Direction>(["up", "down"])("%s: everything arrives, over what was there", async (direction) => {
    const { here, server, copier } = await lab(options);
    const [from, to] = direction === "up" ? [here, server.tree] : [server.tree, here];
    from.put("from/large", randomBytes(2_000_000));
    from.put("from/empty", "");
    from.put("from/new\nline", "a name of two lines");
    from.put('from/it\'s "quoted"', "q");
    from.put("from/sub/run", MemoryFile.of("#!/bin/sh", 0o755));
    from.put("from/sub/secret", MemoryFile.of("s", 0o400));
    for (let i = 0; i < 80; i++) from.put(`from/many/${i}`, `${i}`);
    to.put("to/from/large", "old");
    to.put("to/from/sub/secret", "old");
    await copier(direction).copy(["from"], "to");
    expect(below(to, "to/from")).toEqual(below(from, "from"));
    expect(to.file("to/from/sub/run")!.mode).toBe(0o755);
    expect(to.file("to/from/sub/secret")!.mode).toBe(0o644); // the mode of the replaced file
    expect(to.file("to/from/many/0")!.mode).toBe(0o644);
    expect(server.violations).toEqual([]);
    expect(await server.openHandles()).toBe(0);
  });
});

describe("faults", () => {
  const old = "old ".repeat(10);
  const fresh = { empty: "", small: "new content", large: randomBytes(300_000).toString("latin1") };
  const names = Object.keys(fresh) as (keyof typeof fresh)[];

  it.each<Direction>(["up", "down"])(
    "%s: wherever the connection is lost, every name has its old or its new content, and another run completes it",
    async (direction) => {
      for (let requests = 1, complete = false; !complete; requests++) {
        let left = requests;
        const first = await lab({ fault: () => (left-- <= 0 ? "cut" : undefined) });
        const [from, to] = direction === "up" ? [first.here, first.server.tree] : [first.server.tree, first.here];
        for (const name of names) {
          from.put(`from/${name}`, Buffer.from(fresh[name], "latin1"));
          to.put(`to/from/${name}`, old);
        }
        complete = await first
          .copier(direction)
          .copy(["from"], "to")
          .then(
            () => true,
            (error: unknown) => {
              expect(error).toMatchObject({ why: expect.stringContaining("SFTP server of the workspace ended") });
              return false;
            },
          );
        for (const name of names)
          expect([old, fresh[name]]).toContain(to.file(`to/from/${name}`)!.bytes().toString("latin1"));
        const second = await lab({}, direction === "up" ? to : from);
        second.here.root.children.clear();
        for (const [name, node] of (direction === "up" ? from : to).root.children) second.here.put(name, node);
        await second.copier(direction).copy(["from"], "to");
        expect(below(to, "to/from")).toEqual(below(from, "from"));
        expect(second.server.violations).toEqual([]);
      }
    },
  );

  it("a part of at least 1 MiB is resumed, also beyond 4 GiB", async () => {
    const { here, server, copier } = await lab();
    const [size, left] = [2 ** 32 + 300_000, 2 ** 32 - 70_000];
    const source = new MemoryFile();
    source.write(5, Buffer.from("beginning"));
    source.write(2 ** 32 - 200_000, randomBytes(500_000));
    const part = new MemoryFile();
    part.write(5, Buffer.from("beginning"));
    const behind = Buffer.alloc(left - (2 ** 32 - 200_000));
    source.read(2 ** 32 - 200_000, behind);
    part.write(2 ** 32 - 200_000, behind);
    expect([source.size, part.size]).toEqual([size, left]);
    here.put("a", source);
    server.tree.put("a.coder-part", part);
    const up = copier("up");
    await up.copy(["a"], "a");
    expect(up.result).toEqual({ files: 1, bytes: size, resumedBytes: left, skipped: 0 });
    expect(server.tree.file("a")!.digest(size)).toBe(source.digest(size));
    expect(Math.max(...server.requests.map(({ offset }) => offset))).toBeGreaterThan(2 ** 32);

    const again = new MemoryFile();
    again.write(5, Buffer.from("beginning"));
    again.write(2 ** 32 - 200_000, behind);
    here.put("b.coder-part", again);
    const down = copier("down");
    await down.copy(["a"], "b");
    expect(here.file("b")!.digest(size)).toBe(source.digest(size));
    expect(server.violations).toEqual([]);
  });

  it.each([
    ["is smaller than 1 MiB", randomBytes(5_000)],
    ["is the beginning of another file", randomBytes(2_000_000)],
    ["is longer than the file", randomBytes(4_000_000)],
  ])("a part that %s is replaced", async (_what, left) => {
    const { here, server, copier } = await lab();
    here.put("a", randomBytes(2_000_000));
    server.tree.put("a.coder-part", left);
    const run = copier("up");
    await run.copy(["a"], "a");
    expect(run.result.resumedBytes).toBe(0);
    expect(Object.keys(server.tree.texts())).toEqual(["a"]);
    expect(server.tree.file("a")!.bytes().equals(here.file("a")!.bytes())).toBe(true);
  });

  it("a complete part that may not be written any more is replaced", async () => {
    const { here, server, copier } = await lab();
    const content = randomBytes(2_000_000);
    here.put("a", MemoryFile.of(content, 0o444));
    server.tree.put("a.coder-part", MemoryFile.of(content, 0o444));
    await copier("up").copy(["a"], "a");
    expect(server.tree.file("a")!.bytes().equals(content)).toBe(true);
  });

  it("a link in the place of a part is replaced, not followed", async () => {
    const { here, server, copier } = await lab();
    here.put("a", "content");
    server.tree.put("victim", randomBytes(2_000_000));
    server.tree.put("a.coder-part", { kind: "link", target: "victim" });
    await copier("up").copy(["a"], "a");
    expect(server.tree.file("a")!.bytes().toString()).toBe("content");
    expect(server.tree.file("victim")!.size).toBe(2_000_000);
  });

  it("a full disk is reported; a small part is removed, a large one stays for the next run", async () => {
    for (const [diskBytes, parts] of [
      [200_000, []],
      [1_500_000, ["a.coder-part"]],
    ] as const) {
      const { here, server, copier } = await lab({ diskBytes });
      here.put("a", randomBytes(2_000_000));
      await expect(copier("up").copy(["a"], "a")).rejects.toMatchObject({ why: expect.stringContaining("full") });
      expect(Object.keys(server.tree.texts())).toEqual(parts);
      const part = server.tree.file("a.coder-part")?.bytes();
      if (part !== undefined) expect(here.file("a")!.bytes().subarray(0, part.length).equals(part)).toBe(true);
    }
  });

  it.each([
    ["open", REQUEST.open, "up"],
    ["open", REQUEST.open, "down"],
    ["write", REQUEST.write, "up"],
    ["fsetstat", REQUEST.fsetstat, "up"],
    ["rename", REQUEST.extended, "up"],
    ["read", REQUEST.read, "down"],
    ["fstat", REQUEST.fstat, "down"],
    ["opendir", REQUEST.opendir, "down"],
    ["mkdir", REQUEST.mkdir, "up"],
  ] as const)("%s (%i) refused, %s: the file is named, and nothing is left of it", async (_name, type, direction) => {
    const { here, server, copier } = await lab({
      fault: (request) =>
        request.type === type && request.path.includes("victim") ? STATUS.permissionDenied : undefined,
    });
    const [from, to] = direction === "up" ? [here, server.tree] : [server.tree, here];
    from.put("from/victim/victim", "v");
    from.put("from/other", "o");
    to.put("to/x", "");
    await expect(copier(direction).copy(["from"], "to")).rejects.toMatchObject({
      message: expect.stringContaining("victim"),
      why: expect.stringContaining("may not be read or written"),
    });
    expect(Object.keys(to.texts()).filter((name) => name.includes("victim"))).toEqual([]);
    expect(await server.openHandles()).toBe(0);
  });

  it("a file that changes while it is copied is noticed; one that grows arrives as it was", async () => {
    for (const [change, ends] of [
      [(file: MemoryFile) => file.write(0, Buffer.from("X")), "ERR_CHECKSUM"],
      [(file: MemoryFile) => file.write(file.size, Buffer.from("a line more")), undefined],
    ] as const) {
      const { here, server, copier } = await lab({
        fault: (request) => {
          if (request.type !== REQUEST.read || request.offset !== 12 * 128 * 1024) return undefined;
          const file = server.tree.file("a")!;
          change(file);
          file.modifiedMs += 1000;
          return undefined;
        },
      });
      const before = randomBytes(2_000_000);
      server.tree.put("a", before);
      const copying = copier("down").copy(["a"], "a");
      if (ends === undefined) {
        await copying;
        expect(here.file("a")!.bytes().equals(before)).toBe(true);
      } else {
        await expect(copying).rejects.toMatchObject({ code: ends });
        expect(Object.keys(here.texts())).toEqual([]);
      }
    }
  });

  it("a file that has another size than in the list arrives as it is now", async () => {
    const { here, server, copier } = await lab({
      fault: (request) => {
        if (request.type === REQUEST.open) server.tree.put("from/a", "longer than it was");
        return undefined;
      },
    });
    server.tree.put("from/a", "short");
    await copier("down").copy(["from"], "to");
    expect(below(here, "to")).toEqual({ a: "longer than it was" });
  });

  it("a file that is removed after it was listed is skipped", async () => {
    const { here, server, said, copier } = await lab({
      fault: (request) => {
        if (request.type === REQUEST.open && request.path.endsWith("gone"))
          server.tree.directory("from")!.children.delete("gone");
        return undefined;
      },
    });
    server.tree.put("from/gone", "g");
    server.tree.put("from/here", "h");
    await copier("down").copy(["from"], "to");
    expect(below(here, "to")).toEqual({ here: "h" });
    expect(said).toEqual([expect.stringContaining("removed in the meantime")]);
  });

  it("links are followed, dangling ones and loops are not endless", async () => {
    const { here, server, said, copier } = await lab();
    server.tree.put("from/sub/a", "a");
    server.tree.put("from/link", { kind: "link", target: "from/sub" });
    server.tree.put("from/file", { kind: "link", target: "from/sub/a" });
    server.tree.put("from/dangling", { kind: "link", target: "nowhere" });
    await copier("down").copy(["from"], "to");
    expect(below(here, "to")).toEqual({ "sub/a": "a", "link/a": "a", file: "a" });
    expect(said).toEqual([expect.stringContaining("a link to nothing")]);
    server.tree.put("from/loop", { kind: "link", target: "from" });
    await expect(copier("down").copy(["from"], "to2")).rejects.toThrow("nested too deep");
  });

  it("stopped in the middle, small parts are removed and what is complete stays", async () => {
    const stop = new AbortController();
    const { here, server, copier } = await lab({
      fault: (request) => {
        if (request.type === REQUEST.extended && request.path.includes("f200")) stop.abort(new Error("stopped"));
        return undefined;
      },
    });
    fill(here, 1, 1000);
    await expect(copier("up", { signal: stop.signal }).copy(["from/d0"], "to")).rejects.toThrow("stopped");
    const arrived = below(server.tree, "to");
    expect(arrived["f200"]).toBe("content 0 200");
    expect(Object.keys(arrived).filter((name) => name.endsWith(".coder-part"))).toEqual([]);
    for (const [name, content] of Object.entries(arrived)) expect(content).toBe(`content 0 ${name.slice(1)}`);
    expect(await server.openHandles()).toBe(0);
  });

  it("two sources of the same name: the last one stays, as with cp one by one", async () => {
    const { here, server, copier } = await lab();
    here.put("a/x", "first");
    here.put("b/x", "second");
    server.tree.put("to/y", "");
    const run = copier("up");
    await run.copy(["a/x", "b/x"], "to");
    expect(below(server.tree, "to")).toEqual({ x: "second", y: "" });
    expect(run.result.files).toBe(2);
  });

  it("a part that another copy replaced does not take the file's place", async () => {
    const { here, server, copier } = await lab({
      fault: (request) => {
        if (request.type === REQUEST.close) server.tree.put("a.coder-part", "half");
        return undefined;
      },
    });
    here.put("a", "content");
    server.tree.put("a", "old");
    await expect(copier("up").copy(["a"], "a")).rejects.toMatchObject({ why: expect.stringContaining("replaced") });
    expect(server.tree.file("a")!.bytes().toString()).toBe("old");
  });

  it("a server whose handles are few is asked for half of them", async () => {
    const { here, server, copier } = await lab({ limits: [256 * 1024, 261_120, 261_120, 20] });
    fill(here, 1, 100);
    await copier("up").copy(["from/d0"], "to");
    expect(server.mostHandles.files).toBeLessThanOrEqual(10);
    expect(below(server.tree, "to")).toEqual(below(here, "from/d0"));
  });
});

describe("--fsync", () => {
  it("asks for every file to be written to disk after its last write", async () => {
    const { here, server, copier } = await lab();
    fill(here, 1, 64);
    await copier("up", { sync: true }).copy(["from/d0"], "to");
    const synced = server.requests.filter(
      ({ type, path }) => type === REQUEST.extended && path.endsWith(".coder-part"),
    );
    expect(synced).toHaveLength(2 * 64); // for each file, itself and its rename
    expect(server.rounds).toBeLessThanOrEqual(4 + 4);
  });

  it("is refused by name where the server has no such request", async () => {
    const extensions = OPENSSH_EXTENSIONS.filter((name) => !name.startsWith("fsync"));
    const { here, server, copier } = await lab({ extensions });
    here.put("a", "a");
    await expect(copier("up", { sync: true }).copy(["a"], "a")).rejects.toMatchObject({ code: "ERR_NO_FSYNC" });
    expect(server.tree.texts()).toEqual({});
  });
});

it("a part is created exclusively, readable by its owner alone", async () => {
  const { remote, server } = await lab();
  expect(await remote.createPart("p")).toBeDefined();
  expect(await remote.createPart("p")).toBeUndefined();
  expect(server.tree.file("p")!.mode).toBe(0o600);
  expect(OPEN.exclusive).toBe(32);
});
