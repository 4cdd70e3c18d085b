/** Copying through SSH to the SFTP servers that workspaces have: OpenSSH's, and the agent's own. */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OPEN } from "coder-agent/services/ssh/sftp/codec";
import { findSftpServer } from "coder-agent/services/ssh/sftp/locate";
import { TestService } from "coder-agent/services/ssh/testing";
import type { Client, ClientChannel } from "ssh2";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Copier, type CopyResult } from "./copier.ts";
import { LocalFiles } from "./local-files.ts";
import { RemoteFiles } from "./remote-files.ts";
import { SftpClient } from "./sftp/sftp-client.ts";

const system = findSftpServer();
const servers = system === undefined ? ["builtin"] : ["builtin", system];

describe.each(servers)("%s", (sftpServer) => {
  let service: TestService;
  let client: Client;
  let remote: RemoteFiles;
  let folder: string;
  let at: (...names: string[]) => string;

  beforeEach(async () => {
    service = new TestService({ sftpServer });
    client = await service.connect();
    remote = await RemoteFiles.open(client);
    folder = mkdtempSync(join(tmpdir(), "copy-"));
    at = (...names) => join(folder, ...names);
    for (const name of ["from", "to"]) mkdirSync(at(name));
  });

  afterEach(async () => {
    await service[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  async function copy(
    direction: "up" | "down",
    source: string,
    destination: string,
    sync = false,
  ): Promise<CopyResult> {
    const local = new LocalFiles();
    const copier = new Copier({
      from: direction === "up" ? local : remote,
      to: direction === "up" ? remote : local,
      recursive: true,
      sync,
      signal: new AbortController().signal,
      onProgress: () => undefined,
      say: () => undefined,
    });
    await copier.copy([source], destination);
    return copier.result;
  }

  it.each(["up", "down"] as const)("%s: a tree with names, modes, links and sizes of every kind", async (direction) => {
    const large = randomBytes(3_000_001);
    const content: Record<string, string | Buffer> = {
      large,
      empty: "",
      "new\nline": "n",
      'it\'s "$HOME" `x`': "q",
      "ä b": "u",
      block: randomBytes(128 * 1024),
    };
    for (let i = 0; i < 100; i++) content[`sub/${i}`] = `file ${i}`;
    mkdirSync(at("from", "d", "sub"), { recursive: true });
    for (const [name, bytes] of Object.entries(content)) writeFileSync(at("from", "d", name), bytes);
    chmodSync(at("from", "d", "empty"), 0o751);
    symlinkSync("empty", at("from", "d", "link"));
    chmodSync(at("from", "d", "sub"), 0o555);
    try {
      const { files } = await copy(direction, at("from", "d"), at("to"));
      expect(files).toBe(Object.keys(content).length + 1);
      for (const [name, bytes] of Object.entries(content))
        expect(readFileSync(at("to", "d", name)).equals(Buffer.from(bytes))).toBe(true);
      expect(statSync(at("to", "d", "link")).isFile()).toBe(true);
      expect([statSync(at("to", "d", "empty")).mode & 0o777, statSync(at("to", "d", "sub")).mode & 0o777]).toEqual([
        0o751, 0o555,
      ]);
      expect(readdirSync(at("to", "d")).filter((name) => name.endsWith(".coder-part"))).toEqual([]);
    } finally {
      for (const side of ["from", "to"]) chmodSync(at(side, "d", "sub"), 0o755);
    }
  });

  it.each(["up", "down"] as const)("%s: a verified beginning is resumed", async (direction) => {
    const bytes = randomBytes(5_000_000);
    writeFileSync(at("from", "it's a"), bytes);
    writeFileSync(at("to", "it's a.coder-part"), bytes.subarray(0, 2_345_678));
    const { resumedBytes } = await copy(direction, at("from", "it's a"), at("to"));
    expect(resumedBytes).toBe(2_345_678);
    expect(readFileSync(at("to", "it's a")).equals(bytes)).toBe(true);

    writeFileSync(at("to", "it's a.coder-part"), randomBytes(2_345_678));
    expect((await copy(direction, at("from", "it's a"), at("to"))).resumedBytes).toBe(0);
    expect(readFileSync(at("to", "it's a")).equals(bytes)).toBe(true);
  });

  it.each(["up", "down"] as const)("%s: permissions follow the umask, and what is there keeps its own", async (way) => {
    for (const name of ["old", "new"]) {
      mkdirSync(at("from", "d", name), { recursive: true });
      chmodSync(at("from", "d", name), 0o777);
      writeFileSync(at("from", "d", name, "file"), name);
      chmodSync(at("from", "d", name, "file"), 0o666);
    }
    mkdirSync(at("to", "d", "old"), { recursive: true });
    chmodSync(at("to", "d", "old"), 0o700);
    await copy(way, at("from", "d"), at("to"));
    const mode = (...names: string[]): number => statSync(at("to", "d", ...names)).mode & 0o777;
    const umask = process.umask();
    expect([mode("old"), mode("new"), mode("old", "file")]).toEqual([0o700, 0o777 & ~umask, 0o666 & ~umask]);
  });

  it("a relative path is hashed in the home directory, wherever commands start", async () => {
    const bytes = randomBytes(3_000_000);
    const elsewhere = at("elsewhere");
    mkdirSync(elsewhere);
    await using other = new TestService({ sftpServer, directory: () => elsewhere });
    const files = await RemoteFiles.open(await other.connect());
    writeFileSync(join(other.home, "a"), bytes);
    writeFileSync(join(elsewhere, "a"), randomBytes(3_000_000));
    expect(await files.hash("a", 2_000_000)).toBe(
      createHash("sha256").update(bytes.subarray(0, 2_000_000)).digest("hex"),
    );
  });

  const SIZELESS = ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"].filter((path) => existsSync(path));
  it.each(["up", "down"] as const)("%s: files of the kernel, whose size is wrong, arrive complete", async (way) => {
    for (const path of SIZELESS) {
      await copy(way, path, at("to", "copy"));
      expect(readFileSync(at("to", "copy"), "utf8")).toBe(readFileSync(path, "utf8"));
    }
  });

  it("a sparse file arrives with its size and its content, written to disk", async () => {
    const file = openSync(at("from", "sparse"), "w");
    writeSync(file, "end", 20_000_000);
    closeSync(file);
    await copy("up", at("from", "sparse"), at("to"), true);
    expect(readFileSync(at("to", "sparse")).equals(readFileSync(at("from", "sparse")))).toBe(true);
  });

  it("offsets beyond 4 GiB reach the file and come back", async () => {
    const channel = await new Promise<ClientChannel>((resolve, reject) => {
      client.subsys("sftp", (error, opened) => (error ? reject(error) : resolve(opened)));
    });
    const sftp = await SftpClient.open(channel);
    writeFileSync(at("to", "huge"), "");
    truncateSync(at("to", "huge"), 2 ** 32 + 100); // leaves a hole
    const handle = await sftp.open(at("to", "huge"), OPEN.read | OPEN.write);
    await sftp.write(handle, 2 ** 32 + 95, Buffer.from("across the end"));
    const target = new Uint8Array(20);
    expect(await sftp.read(handle, 2 ** 32 + 90, target)).toBe(19);
    expect(Buffer.from(target.subarray(5, 19)).toString()).toBe("across the end");
    expect((await sftp.fstat(handle)).size).toBe(2 ** 32 + 109);
    await sftp.close(handle);
  });

  it("the end of the connection is the end of the copy, under every name old or new content", async () => {
    writeFileSync(at("from", "a"), randomBytes(20_000_000));
    writeFileSync(at("to", "a"), "old");
    const local = new LocalFiles();
    const copier = new Copier({
      ...{ from: local, to: remote, recursive: false, sync: false },
      signal: new AbortController().signal,
      onProgress: ({ doneBytes }) => {
        if (doneBytes > 10_000_000) client.destroy();
      },
      say: () => undefined,
    });
    await expect(copier.copy([at("from", "a")], at("to"))).rejects.toMatchObject({ code: "ERR_COPY" });
    expect(readFileSync(at("to", "a"), "utf8")).toBe("old");
  });
});

describe("a workspace without SFTP", () => {
  it("is named as such", async () => {
    const refusing = { subsys: (_name: string, done: (error: Error) => void) => done(new Error("refused")) };
    const opening = RemoteFiles.open(refusing as unknown as Client);
    await expect(opening).rejects.toMatchObject({ code: "ERR_NO_SFTP", why: expect.stringContaining("refused") });
  });
});
