import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { FileTurn } from "../../host/thread-shares.ts";
import { FileRoutes } from "./file-routes.ts";
import { locate, locateExisting } from "./locate.ts";
import { receiveFile } from "./upload.ts";

const AT_ONCE: FileTurn = (_paths, operation) => operation();
const TERMINAL = "0b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10";
let root: string;
let home: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "files-"));
  home = join(root, "home");
  mkdirSync(join(home, "work"), { recursive: true });
  mkdirSync(join(root, "outside"));
});
afterEach(() => rmSync(root, { recursive: true }));

const where = () => ({ home, directory: join(home, "work") });

test("a relative path is below the directory, ~/ below home, an absolute one anywhere", async () => {
  expect(await locate("a.txt", where())).toBe(join(home, "work/a.txt"));
  expect(await locate("./x/../a.txt", where())).toBe(join(home, "work/a.txt"));
  expect(await locate("~/a.txt", where())).toBe(join(home, "a.txt"));
  expect(await locate(join(root, "outside/a"), where())).toBe(join(root, "outside/a"));
  expect(await locate(join(root, "outside/../b"), where())).toBe(join(root, "b"));
});

test.each(["", ".", "..", "../a", "x/../../a", "~/../a", "~/..", "a/", "/", "a\0b", "~/", `${"x/".repeat(3000)}a`])(
  "the path %j is refused",
  async (path) => {
    await expect(locate(path, where())).rejects.toMatchObject({ status: 400 });
  },
);

test("a symbolic link leads out only where the path is absolute", async () => {
  symlinkSync(join(root, "outside"), join(home, "work/link"));
  symlinkSync(home, join(home, "work/homeward"));
  await expect(locate("link/a", where())).rejects.toMatchObject({ status: 400 });
  expect(await locate("homeward/a", where())).toBe(join(home, "a"));
  expect(await locate(join(home, "work/link/a"), where())).toBe(join(home, "work/link/a"));
});

test("what is read is followed through the last link too, by the same rule", async () => {
  writeFileSync(join(root, "outside/secret"), "x");
  writeFileSync(join(home, "a"), "x");
  symlinkSync(join(root, "outside/secret"), join(home, "work/out"));
  symlinkSync(join(home, "a"), join(home, "work/in"));
  await expect(locateExisting("out", where())).rejects.toMatchObject({ status: 400 });
  await expect(locateExisting("~/work/out", where())).rejects.toMatchObject({ status: 400 });
  await expect(locateExisting("nothing", where())).rejects.toMatchObject({ code: "ENOENT" });
  expect(await locateExisting("in", where())).toBe(join(home, "a"));
  expect(await locateExisting(join(home, "work/out"), where())).toBe(join(home, "work/out"));
  expect(await locate("out", where())).toBe(join(home, "work/out")); // the link is replaced
});

test("a file that replaces another one has its permissions", async () => {
  const target = join(home, "run.sh");
  for (const mode of [0o755, 0o600, 0o666, 0o400]) {
    writeFileSync(target, "old");
    chmodSync(target, mode);
    const whileWritten: number[] = [];
    await receiveFile(pieces("new"), target, {
      overwrite: true,
      turn: AT_ONCE,
      onProgress: () => {
        const part = readdirSync(home).find((name) => name.includes(".part-"))!;
        whileWritten.push(statSync(join(home, part)).mode & 0o777 & ~mode);
      },
    });
    expect([statSync(target).mode & 0o777, whileWritten]).toEqual([mode, [0]]);
    rmSync(target);
  }
});

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

test("a file appears whole, and only under a free name", async () => {
  const target = join(home, "a.txt");
  const seen: string[][] = [];
  const onProgress = () => void seen.push(readdirSync(home).filter((name) => name !== "work"));
  const result = await receiveFile(pieces("one ", "two"), target, { overwrite: false, onProgress, turn: AT_ONCE });
  const sha256 = createHash("sha256").update("one two").digest("hex");
  expect(result).toEqual({ path: target, size: 7, sha256 });
  expect(seen.flat().every((name) => /^\.a\.txt\.part-[0-9a-f]{12}$/.test(name))).toBe(true);
  expect(readdirSync(home).sort()).toEqual(["a.txt", "work"]);
  const options = { overwrite: false, onProgress, turn: AT_ONCE };
  await expect(receiveFile(pieces("x"), target, options)).rejects.toMatchObject({ status: 409 });
  await expect(receiveFile(pieces("x"), join(home, "work"), { ...options, overwrite: true })).rejects.toMatchObject({
    status: 409,
  });
  await receiveFile(pieces("new"), target, { ...options, overwrite: true });
  expect(readFileSync(target, "utf8")).toBe("new");
});

test("a name that is taken while the file arrives is not replaced", async () => {
  const target = join(home, "a.txt");
  const onProgress = () => writeFileSync(target, "theirs");
  await expect(
    receiveFile(pieces("mine"), target, { overwrite: false, onProgress, turn: AT_ONCE }),
  ).rejects.toMatchObject({
    code: "EEXIST",
  });
  expect(readFileSync(target, "utf8")).toBe("theirs");
  expect(readdirSync(home).sort()).toEqual(["a.txt", "work"]);
});

test("a body that breaks off leaves nothing", async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("half");
    throw new Error("gone");
  }
  const options = { overwrite: true, onProgress: () => undefined, turn: AT_ONCE };
  await expect(receiveFile(broken(), join(home, "a.txt"), options)).rejects.toThrow("gone");
  expect(readdirSync(home)).toEqual(["work"]);
});

test("over HTTP: into a terminal's directory and back, with a status for each refusal", async () => {
  const routes = new FileRoutes({
    home: () => home,
    directoryOf: (id) => (id === TERMINAL ? join(home, "work") : undefined),
  });
  const server = createServer(async (request, response) => {
    const query = new URL(request.url!, "http://unused").searchParams;
    const goOn = () => undefined;
    const answer =
      request.method === "PUT"
        ? await routes.upload(request, response, query, goOn, AT_ONCE)
        : await routes.download(response, query, goOn, AT_ONCE);
    if (answer !== undefined) response.writeHead(answer.status).end(JSON.stringify(answer.body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = (path: string, more = "") =>
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/?path=${encodeURIComponent(path)}${more}`;
  try {
    const put = await fetch(at("b.bin", `&terminal=${TERMINAL}`), { method: "PUT", body: Buffer.alloc(300_000, 7) });
    expect(put.status).toBe(201);
    expect(await put.json()).toMatchObject({ path: join(home, "work/b.bin"), size: 300_000 });
    const got = await fetch(at("~/work/b.bin"));
    expect([got.status, (await got.arrayBuffer()).byteLength]).toEqual([200, 300_000]);
    const statuses = async (method: string, path: string) =>
      (await fetch(at(path), { method, body: method === "PUT" ? "x" : null })).status;
    expect(await statuses("PUT", "work/b.bin")).toBe(409);
    expect(await statuses("PUT", "nowhere/b.bin")).toBe(404);
    expect(await statuses("PUT", "work/b.bin/c")).toBe(404);
    expect(await statuses("GET", "nothing")).toBe(404);
    expect(await statuses("GET", join(home, "work"))).toBe(400);
    execFileSync("mkfifo", [join(home, "pipe")]);
    expect(await statuses("GET", "pipe")).toBe(400);
    rmSync(join(home, "pipe"));
    // The client disconnects in the middle.
    const broken = httpRequest(at("c.bin"), { method: "PUT", headers: { "Content-Length": "1000000" } });
    broken.on("error", () => undefined);
    broken.write("half");
    await expect.poll(() => readdirSync(home).some((name) => name.startsWith(".c.bin.part-"))).toBe(true);
    broken.destroy();
    await expect.poll(() => readdirSync(home)).toEqual(["work"]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
