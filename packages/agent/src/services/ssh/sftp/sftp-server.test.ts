import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Attributes, FileEntryWithStats, SFTPWrapper, Stats } from "ssh2";
import { describe, expect, test } from "vitest";
import { ThreadShares } from "../../../host/thread-shares.ts";
import { duplexPair, type exec, outcome, sftp, TestService } from "../testing.ts";
import { encodeFields, encodePacket, type Field, REQUEST, STATUS } from "./codec.ts";
import { findSftpServer } from "./locate.ts";
import { type SftpOptions, serveSftp } from "./sftp-server.ts";

/** Turns ssh2's callbacks into promises; `call` gets the callback last. */
function promise<T>(call: (done: (error: Error | null | undefined, value?: T) => void) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => (error ? reject(error) : resolve(value as T)));
  });
}

/** OpenSSH's servers expect the target first. ssh2's client uses that order only with servers that identify as OpenSSH. */
function symlink(client: SFTPWrapper, target: string, path: string, done: (error?: Error | null) => void): void {
  client.symlink(path, target, done);
}

/** ssh2's client omits "." and ".." by default; its types lack the option. */
interface FullListing {
  readdir(
    path: string,
    options: { full: boolean },
    done: (error: Error | null | undefined, list?: FileEntryWithStats[]) => void,
  ): void;
}

const system = findSftpServer();
const backends: readonly string[] = system === undefined ? ["builtin"] : ["builtin", system];

describe.each(backends)("sftp with %s", (sftpServer) => {
  async function open(): Promise<AsyncDisposable & { client: SFTPWrapper; home: string; service: TestService }> {
    const service = new TestService({ sftpServer });
    const client = await sftp(await service.connect());
    return {
      client,
      home: realpathSync(service.home),
      service,
      [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
    };
  }

  test("16 MiB are uploaded and downloaded unchanged", async () => {
    await using t = await open();
    const bytes = randomBytes(16 * 1024 * 1024);
    writeFileSync(join(t.home, "source"), bytes);
    await promise((done) => t.client.fastPut(join(t.home, "source"), "up", done));
    expect(readFileSync(join(t.home, "up")).equals(bytes)).toBe(true);
    await promise((done) => t.client.fastGet("up", join(t.home, "down"), done));
    expect(sha256(readFileSync(join(t.home, "down")))).toBe(sha256(bytes));
  });

  test("lists a directory with itself and its parent", async () => {
    await using t = await open();
    mkdirSync(join(t.home, "d"));
    writeFileSync(join(t.home, "d", "file"), "");
    const list = await promise<FileEntryWithStats[]>((done) =>
      (t.client as unknown as FullListing).readdir("d", { full: true }, done),
    );
    expect(list.map((entry) => entry.filename).sort()).toEqual([".", "..", "file"]);
    expect(list.find((entry) => entry.filename === ".")?.longname).toMatch(/^d/);
  });

  test("a thousand files are open at once", async () => {
    await using t = await open();
    writeFileSync(join(t.home, "file"), "");
    const opened = Array.from({ length: 1000 }, () => promise<Buffer>((done) => t.client.open("file", "r", done)));
    expect(new Set((await Promise.all(opened)).map((handle) => handle.toString("hex"))).size).toBe(1000);
  });

  test("files: create, append, truncate, exclusive, read past the end", async () => {
    await using t = await open();
    const { client } = t;
    await promise((done) => client.writeFile("a", "hello", { mode: 0o640 }, done));
    expect(statSync(join(t.home, "a")).mode & 0o777).toBe(0o640);
    await promise((done) => client.appendFile("a", " world", done));
    expect(readFileSync(join(t.home, "a"), "utf8")).toBe("hello world");
    await promise((done) => client.writeFile("a", "x", done));
    expect(readFileSync(join(t.home, "a"), "utf8")).toBe("x");
    await expect(promise((done) => client.open("a", "wx", done))).rejects.toThrow("Failure");
    await expect(promise((done) => client.readFile("missing", done))).rejects.toThrow("No such file");
    const handle = await promise<Buffer>((done) => client.open("a", "r", done));
    expect(await promise<number>((done) => client.read(handle, Buffer.alloc(10), 0, 10, 100, done))).toBe(0);
    await promise((done) => client.close(handle, done));
    await expect(promise((done) => client.close(handle, done))).rejects.toThrow();
  });

  test("attributes: stat, lstat, fstat, setstat, fsetstat", async () => {
    await using t = await open();
    const { client } = t;
    writeFileSync(join(t.home, "f"), "12345");
    await promise((done) => symlink(client, "f", "l", done));
    expect(readlinkSync(join(t.home, "l"))).toBe("f");
    expect((await promise<Stats>((done) => client.stat("l", done))).size).toBe(5);
    expect((await promise<Stats>((done) => client.lstat("l", done))).isSymbolicLink()).toBe(true);
    const attributes: Partial<Attributes> = { mode: 0o600, atime: 1_000_000_000, mtime: 1_100_000_000, size: 3 };
    await promise((done) => client.setstat("f", attributes as Attributes, done));
    const file = statSync(join(t.home, "f"));
    expect([file.mode & 0o777, file.size, file.atimeMs, file.mtimeMs]).toEqual([0o600, 3, 1e12, 1.1e12]);
    const handle = await promise<Buffer>((done) => client.open("f", "r+", done));
    await promise((done) => client.fsetstat(handle, { mode: 0o644, size: 9 } as never, done));
    const stats = await promise<Stats>((done) => client.fstat(handle, done));
    expect([stats.size, stats.mode & 0o777, stats.isFile()]).toEqual([9, 0o644, true]);
    await promise((done) => client.close(handle, done));
    await expect(promise((done) => client.stat("missing", done))).rejects.toThrow("No such file");
  });

  test("directories: mkdir, a long listing, rmdir refuses a full one", async () => {
    await using t = await open();
    const { client } = t;
    await promise((done) => client.mkdir("d", done));
    for (let i = 0; i < 250; i++) writeFileSync(join(t.home, "d", `file-${i}`), "x");
    const list = await promise<FileEntryWithStats[]>((done) => client.readdir("d", done));
    const names = list.map((entry) => entry.filename).filter((name) => name !== "." && name !== "..");
    expect(names.sort()).toEqual(Array.from({ length: 250 }, (_, i) => `file-${i}`).sort());
    expect(list.find((entry) => entry.filename === "file-7")?.longname).toMatch(/^-rw.* 1 .*file-7$/);
    await expect(promise((done) => client.rmdir("d", done))).rejects.toThrow("Failure");
    for (let i = 0; i < 250; i++) await promise((done) => client.unlink(`d/file-${i}`, done));
    await promise((done) => client.rmdir("d", done));
    expect(existsSync(join(t.home, "d"))).toBe(false);
    await expect(promise((done) => client.readdir("d", done))).rejects.toThrow("No such file");
  });

  test("rename keeps an existing target, posix-rename replaces it, hard links share the file", async () => {
    await using t = await open();
    const { client } = t;
    writeFileSync(join(t.home, "a"), "a");
    writeFileSync(join(t.home, "b"), "b");
    await expect(promise((done) => client.rename("a", "b", done))).rejects.toThrow("Failure");
    expect(readFileSync(join(t.home, "b"), "utf8")).toBe("b");
    await promise((done) => client.rename("a", "c", done));
    await promise((done) => client.ext_openssh_rename("c", "b", done));
    expect(readFileSync(join(t.home, "b"), "utf8")).toBe("a");
    await promise((done) => client.ext_openssh_hardlink("b", "h", done));
    expect(statSync(join(t.home, "h")).nlink).toBe(2);
    mkdirSync(join(t.home, "dir"));
    await promise((done) => client.rename("dir", "dir2", done));
    expect(lstatSync(join(t.home, "dir2")).isDirectory()).toBe(true);
    const handle = await promise<Buffer>((done) => client.open("b", "r+", done));
    await promise((done) => client.ext_openssh_fsync(handle, done));
  });

  test("real paths start at home, resolve dots and links, and may end in a name that does not exist yet", async () => {
    await using t = await open();
    const { client, home } = t;
    mkdirSync(join(home, "d"));
    await promise((done) => symlink(client, "d", "link", done));
    const real = (path: string): Promise<string> => promise((done) => client.realpath(path, done));
    expect(await real(".")).toBe(home);
    expect(await real("link/../d/./new")).toBe(join(home, "d", "new"));
    expect(await real("/")).toBe("/");
    expect(await real("")).toBe(home);
    await promise((done) => symlink(client, "d/later", "to-nothing", done));
    expect(await real("to-nothing")).toBe(join(home, "d", "later"));
    await expect(real("missing/")).rejects.toThrow("No such file");
    await promise((done) => symlink(client, "loop", "loop", done));
    await expect(real("loop")).rejects.toThrow("No such file");
    expect(await promise<string>((done) => client.readlink("link", done))).toBe("d");
    await expect(promise((done) => client.readlink("d", done))).rejects.toThrow("Bad message");
  });

  test("an empty path names no file, and so not the home directory", async () => {
    await using t = await open();
    const { client } = t;
    const attempts = {
      open: promise((done) => client.open("", "r", done)),
      opendir: promise((done) => client.opendir("", done)),
      stat: promise((done) => client.stat("", done)),
      setstat: promise((done) => client.setstat("", { mode: 0o711 } as never, done)),
      rmdir: promise((done) => client.rmdir("", done)),
      rename: promise((done) => client.rename("", "x", done)),
      symlink: promise((done) => symlink(client, "", "x", done)),
    };
    for (const [name, attempt] of Object.entries(attempts)) await expect(attempt, name).rejects.toThrow("No such file");
    expect(statSync(t.home).mode & 0o777).toBe(0o700);
  });

  test("attributes that can be set are set, although another one cannot", async () => {
    await using t = await open();
    mkdirSync(join(t.home, "d"));
    const set = promise((done) => t.client.setstat("d", { size: 3, mode: 0o711 } as never, done));
    await expect(set).rejects.toThrow("Failure");
    expect(statSync(join(t.home, "d")).mode & 0o777).toBe(0o711);
  });

  test("lsetstat refuses what a link does not have, and sets the permissions of a file", async () => {
    await using t = await open();
    writeFileSync(join(t.home, "f"), "1234", { mode: 0o644 });
    symlinkSync("f", join(t.home, "l"));
    const set = (path: string, attributes: unknown): Promise<unknown> =>
      promise((done) => t.client.ext_openssh_lsetstat(path, attributes as never, done));
    await expect(set("l", { mode: 0o600 })).rejects.toMatchObject({ code: STATUS.failure });
    await expect(set("f", { size: 1 })).rejects.toMatchObject({ code: STATUS.badMessage });
    expect([statSync(join(t.home, "f")).mode & 0o777, statSync(join(t.home, "f")).size]).toEqual([0o644, 4]);
    await set("f", { mode: 0o600 });
    expect(statSync(join(t.home, "f")).mode & 0o777).toBe(0o600);
  });

  test("what the system forbids, even to root, is refused as such", async () => {
    await using t = await open();
    await expect(promise((done) => t.client.unlink("/proc/version", done))).rejects.toThrow("Permission denied");
  });

  test("the subsystem ends with status 0 when the client closes its side", async () => {
    await using t = new TestService({ sftpServer });
    const client = await t.connect();
    const channel = await new Promise<Awaited<ReturnType<typeof exec>>>((resolve, reject) => {
      client.subsys("sftp", (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
    });
    channel.write(encodePacket(REQUEST.init, { u32: 3 }));
    await once(channel, "data");
    const done = outcome(channel);
    channel.end();
    expect((await done).status).toBe(0);
  });
});

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const logger = { level: "error", log: () => undefined } as const;

async function answersTo(
  packets: readonly Buffer[],
  home = "/nonexistent",
  threads: SftpOptions["threads"] = new ThreadShares({ threads: 1 }),
  left = new AbortController().signal,
): Promise<{ status: number; answers: Buffer }> {
  const [near, far] = duplexPair();
  const done = serveSftp(far, { home, logger, client: "client", threads, left });
  const chunks: Buffer[] = [];
  near.on("data", (chunk: Buffer) => chunks.push(chunk));
  near.end(Buffer.concat(packets));
  const status = await done;
  return { status, answers: Buffer.concat(chunks) };
}

test("packet lengths out of bounds end the subsystem with status 1", async () => {
  for (const length of [0, 256 * 1024 + 1, 0xffff_ffff]) {
    expect((await answersTo([encodeFields([{ u32: length }, { raw: Buffer.alloc(16) }])])).status).toBe(1);
  }
});

test("any request bytes are answered or ignored, never thrown on, and touch no file", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(...Object.values(REQUEST)), fc.uint8Array({ maxLength: 40 })), {
        maxLength: 20,
      }),
      async (requests) => {
        // Only paths with a leading slash are absolute; random ones are kept relative to a home that does not exist.
        const packets = requests.map(([type, bytes]) =>
          encodePacket(type, { raw: Buffer.from(bytes.map((byte) => (byte === 0x2f ? 0 : byte))) }),
        );
        expect((await answersTo(packets)).status).toBe(0);
      },
    ),
    { numRuns: 100 },
  );
});

test.runIf(process.platform === "linux")("a named pipe is refused and holds nothing up", async () => {
  await using service = new TestService({ sftpServer: "builtin" });
  execFileSync("mkfifo", [join(service.home, "pipe")]);
  const clients = await Promise.all(Array.from({ length: 4 }, async () => sftp(await service.connect())));
  for (const flags of ["r", "w", "a", "r+"] as const) {
    const opened = clients.map((client) => promise((done) => client.open("pipe", flags, done)));
    for (const each of await Promise.allSettled(opened)) {
      expect(each).toMatchObject({ status: "rejected", reason: { message: expect.stringContaining("named pipes") } });
    }
  }
  await promise((done) => clients[0]!.writeFile("file", "text", done));
  expect(readFileSync(join(service.home, "file"), "utf8")).toBe("text");
});

test.runIf(process.platform === "linux")("names that cannot be looked at are listed without attributes", () => {
  const home = mkdtempSync(join(tmpdir(), "sftp-"));
  try {
    chmodSync(home, 0o755);
    mkdirSync(join(home, "d"));
    writeFileSync(join(home, "d", "hidden"), "");
    chmodSync(join(home, "d"), 0o444);
    // Nothing is closed to root.
    const script = `
      const [server, shares] = await Promise.all(process.argv.slice(1, 3).map((module) => import(module)));
      const { Duplex } = await import("node:stream");
      if (process.getuid() === 0) process.setuid(65534);
      const logger = { level: "error", log() {} };
      const options = { home: process.argv[3], logger, client: "", threads: new shares.ThreadShares(), left: new AbortController().signal };
      await server.serveSftp(Duplex.from({ readable: process.stdin, writable: process.stdout }), options);
    `;
    const modules = ["sftp-server.ts", "../../../host/thread-shares.ts"].map(
      (file) => new URL(file, import.meta.url).href,
    );
    const input = Buffer.concat([
      encodePacket(REQUEST.opendir, { u32: 1 }, { string: "d" }),
      encodePacket(REQUEST.readdir, { u32: 2 }, { string: Buffer.alloc(4) }),
    ]);
    const args = ["--input-type=module", "-e", script, ...modules, home];
    const output = execFileSync(process.execPath, args, { input }).toString("latin1");
    const name = encodeFields([{ string: "hidden" }]).toString("latin1");
    expect(output).toContain(name);
    const line = encodeFields([
      { string: `?---------    ? ?        ?               ?            ? hidden` },
      { u32: 0 },
    ]);
    expect(output).toContain(name + line.toString("latin1"));
  } finally {
    chmodSync(join(home, "d"), 0o755);
    rmSync(home, { recursive: true });
  }
});

test("requests wait for the client's turn", async () => {
  const threads = new ThreadShares({ threads: 1 });
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const other = threads.onVolumes("other", [], () => held);
  const [near, far] = duplexPair();
  const done = serveSftp(far, { home: "/", logger, client: "client", threads, left: new AbortController().signal });
  near.write(encodePacket(REQUEST.stat, { u32: 1 }, { string: "/" }));
  const answered = once(near, "data");
  await new Promise(setImmediate);
  expect(near.readableLength).toBe(0);
  release();
  await other;
  await answered;
  near.end();
  expect(await done).toBe(0);
});

test.runIf(process.platform === "linux")("a file that is opened after the client has left is closed", async () => {
  const home = mkdtempSync(join(tmpdir(), "sftp-"));
  const path = join(home, "file");
  const isOpen = (): boolean =>
    readdirSync("/proc/self/fd").some((fd) => {
      try {
        return readlinkSync(join("/proc/self/fd", fd)) === path;
      } catch {
        return false; // the descriptor of this listing
      }
    });
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  let opened = false;
  // As if the file system answered only then.
  const threads: SftpOptions["threads"] = {
    volumeOf: () => undefined,
    onVolumes: async (_client, _volumes, operation) => {
      asked.resolve();
      await held;
      const result = await operation();
      opened ||= isOpen();
      return result;
    },
  };
  const left = new AbortController();
  const [near, far] = duplexPair();
  try {
    const done = serveSftp(far, { home, logger, client: "client", threads, left: left.signal });
    near.write(encodePacket(REQUEST.open, { u32: 1 }, { string: path }, { u32: 2 | 8 }, { u32: 0 }));
    await asked.promise;
    left.abort(new Error("the client has left"));
    expect(await done).toBe(0);
    release();
    await expect.poll(() => opened && !isOpen()).toBe(true);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test.runIf(process.platform === "linux")("files are copied, accounts are named", async () => {
  const home = mkdtempSync(join(tmpdir(), "sftp-"));
  const u64 = (value: number): { raw: Buffer } => ({ raw: encodeFields([{ u32: 0 }, { u32: value }]) });
  const handle = (number: number): { string: Buffer } => ({ string: encodeFields([{ u32: number }]) });
  const extended = (name: string, ...fields: readonly Field[]): Buffer =>
    encodePacket(REQUEST.extended, { u32: 9 }, { string: name }, ...fields);
  const open = (path: string, flags: number): Buffer =>
    encodePacket(REQUEST.open, { u32: 1 }, { string: path }, { u32: flags }, { u32: 0 });
  try {
    const bytes = randomBytes(700_000);
    writeFileSync(join(home, "from"), bytes);
    const { answers } = await answersTo(
      [
        open("from", 1),
        open("to", 2 | 8),
        open("/dev/zero", 1),
        extended("copy-data", handle(0), u64(100), u64(0), handle(1), u64(5)),
        extended("copy-data", handle(0), u64(0), u64(3), handle(1), u64(0)),
        extended("copy-data", handle(0), u64(0), u64(3), handle(0), u64(0)),
        extended("copy-data", handle(2), u64(0), u64(0), handle(1), u64(0)),
        extended("users-groups-by-id@openssh.com", { string: encodeFields([{ u32: 0 }, { u32: 4e9 }]) }, handle(0)),
        extended("home-directory", { string: "" }),
        extended("home-directory", { string: "root" }),
        extended("home-directory", { string: "no such user" }),
      ],
      home,
    );
    const copied = readFileSync(join(home, "to"));
    expect(copied.length).toBe(bytes.length - 100 + 5);
    expect(copied.subarray(0, 3)).toEqual(bytes.subarray(0, 3));
    expect(copied.subarray(5).equals(bytes.subarray(100))).toBe(true);
    const text = answers.toString("latin1");
    for (const reason of ["into itself", "only regular files", "no such user"]) expect(text).toContain(reason);
    const root = encodeFields([{ string: "root" }]);
    expect(answers.includes(encodeFields([{ string: Buffer.concat([root, Buffer.alloc(4)]) }, { string: root }]))).toBe(
      true,
    );
    for (const path of [home, "/root"]) expect(answers.includes(encodeFields([{ string: path }]))).toBe(true);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("open files are limited", async () => {
  const open = (id: number): Buffer =>
    encodePacket(REQUEST.open, { u32: id }, { string: process.execPath }, { u32: 1 }, { u32: 0 });
  const { answers } = await answersTo(Array.from({ length: 1100 }, (_, id) => open(id)));
  const types: number[] = [];
  for (let offset = 0; offset < answers.length; offset += 4 + answers.readUInt32BE(offset))
    types.push(answers[offset + 4]!);
  expect(types.filter((type) => type === 102)).toHaveLength(1019);
  expect(types.filter((type) => type === 101)).toHaveLength(81);
});

test("a file name that is not UTF-8 is listed and opened byte for byte", async () => {
  await using t = new TestService({ sftpServer: "builtin" });
  const name = Buffer.from([0x66, 0xff, 0xfe]);
  writeFileSync(Buffer.concat([Buffer.from(`${t.home}/`), name]), "content");
  const path = Buffer.concat([Buffer.from(`${t.home}/`), name]);
  const { answers } = await answersTo([
    encodePacket(REQUEST.opendir, { u32: 1 }, { string: t.home }),
    encodePacket(REQUEST.readdir, { u32: 2 }, { string: Buffer.alloc(4) }),
    encodePacket(REQUEST.open, { u32: 3 }, { string: path }, { u32: 1 }, { u32: 0 }),
    encodePacket(REQUEST.read, { u32: 4 }, { string: Buffer.from([0, 0, 0, 1]) }, { u32: 0 }, { u32: 0 }, { u32: 100 }),
  ]);
  expect(answers.includes(name)).toBe(true);
  expect(answers.includes("content")).toBe(true);
});

/** Splits answers and removes their lengths. */
function split(answers: Buffer): Buffer[] {
  const all: Buffer[] = [];
  for (let rest = answers; rest.length > 0; rest = rest.subarray(4 + rest.readUInt32BE()))
    all.push(rest.subarray(4, 4 + rest.readUInt32BE()));
  return all;
}

test("the built-in server knows the extensions of OpenSSH that it announces, and announces those it knows", async () => {
  const home = realpathSync(mkdtempSync(join(tmpdir(), "sftp-")));
  try {
    writeFileSync(join(home, "file"), "content");
    symlinkSync("file", join(home, "link"));
    const text = (value: string) => ({ string: Buffer.from(value) });
    const extended = (name: string, ...fields: Parameters<typeof encodePacket>[1][]): Buffer =>
      encodePacket(REQUEST.extended, { u32: 7 }, text(`${name}@openssh.com`), ...fields);
    const handle = { string: Buffer.alloc(4) };
    const times = [{ u32: 8 }, { u32: 1 }, { u32: 2 }];
    const requests = [
      encodePacket(REQUEST.init, { u32: 3 }),
      encodePacket(REQUEST.open, { u32: 1 }, text("file"), { u32: 3 }, { u32: 0 }),
      extended("statvfs", text("file")),
      extended("fstatvfs", handle),
      extended("fsync", handle),
      extended("lsetstat", text("link"), ...times),
      extended("limits"),
      extended("expand-path", text("~/file")),
    ];
    const { answers } = await answersTo(requests, home);
    const [init, , statvfs, fstatvfs, fsync, lsetstat, limits, expanded] = split(answers);
    for (const name of [
      "statvfs",
      "fstatvfs",
      "fsync",
      "lsetstat",
      "limits",
      "expand-path",
      "hardlink",
      "posix-rename",
    ])
      expect(init!.toString("latin1")).toContain(`${name}@openssh.com`);
    const facts = statfsSync(home);
    for (const answer of [statvfs!, fstatvfs!]) {
      expect([answer[0], answer.readUInt32BE(1), answer.length]).toEqual([201, 7, 5 + 11 * 8]);
      const number = (index: number): number => Number(answer.readBigUInt64BE(5 + 8 * index));
      expect([number(0), number(2), number(10)]).toEqual([facts.bsize, facts.blocks, 255]);
    }
    for (const answer of [fsync!, lsetstat!]) expect([answer[0], answer.readUInt32BE(5)]).toEqual([101, 0]);
    expect(lstatSync(join(home, "link")).mtimeMs).toBe(2000);
    expect(statSync(join(home, "file")).mtimeMs).not.toBe(2000);
    expect([5, 13, 21, 29].map((at) => Number(limits!.readBigUInt64BE(at)))).toEqual([262_144, 261_120, 261_120, 1019]);
    expect(expanded!.toString("latin1")).toContain(join(home, "file"));
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("a copy ends when the client has left, long before its file does", async () => {
  const home = mkdtempSync(join(tmpdir(), "sftp-"));
  const u64 = { raw: Buffer.alloc(8) };
  const open = (path: string, flags: number): Buffer =>
    encodePacket(REQUEST.open, { u32: 1 }, { string: path }, { u32: flags }, { u32: 0 });
  const handle = (number: number): Field => ({ string: encodeFields([{ u32: number }]) });
  try {
    writeFileSync(join(home, "from"), Buffer.alloc(4 * 1024 * 1024, 1));
    const shares = new ThreadShares({ threads: 1 });
    const left = new AbortController();
    let turns = 0;
    const threads: SftpOptions["threads"] = {
      volumeOf: () => undefined,
      onVolumes: (...turn) => {
        if (++turns === 10) left.abort(new Error("left"));
        return shares.onVolumes(...turn);
      },
    };
    const copy = encodePacket(
      REQUEST.extended,
      { u32: 2 },
      { string: "copy-data" },
      handle(0),
      u64,
      u64,
      handle(1),
      u64,
    );
    await answersTo([open("from", 1), open("to", 2 | 8), copy], home, threads, left.signal);
    const { size } = statSync(join(home, "to"));
    expect(size).toBeGreaterThan(0);
    expect(size).toBeLessThan(4 * 1024 * 1024);
  } finally {
    rmSync(home, { recursive: true });
  }
});
