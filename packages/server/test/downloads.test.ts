import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { Catalogue, FileChanged } from "../src/downloads/catalogue.ts";
import { hashFile } from "../src/downloads/hash-worker.ts";
import { startServer, temporaryDirectory } from "./helpers.ts";

const folder = temporaryDirectory();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CONTENT = Buffer.concat([randomBytes(300_000), Buffer.alloc(700_000, "coder")]);
const SHA1 = createHash("sha1").update(CONTENT).digest("hex");
const SHA256 = createHash("sha256").update(CONTENT).digest("hex");
const LINUX = "/bin/coder-linux-amd64";

function binaries(name: string, files: Readonly<Record<string, string | Buffer>>): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (const [file, content] of Object.entries(files)) writeFileSync(join(path, file), content);
  return path;
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

async function begin(url: string, path: string, headers: Record<string, string> = {}, method = "GET") {
  const asked = request(new URL(path, url), { method, headers, agent: false });
  asked.end();
  const [reply] = (await once(asked, "response")) as [IncomingMessage];
  return reply;
}

async function ask(url: string, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Reply> {
  const reply = await begin(url, path, headers, method);
  const chunks: Buffer[] = [];
  for await (const chunk of reply) chunks.push(chunk as Buffer);
  return { status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(chunks) };
}

test("an executable comes with the headers that editors need, and is not sent again", async () => {
  const dir = binaries("plain", { "coder-linux-amd64": CONTENT, "coder-windows-amd64.exe": "MZ" });
  await using at = await startServer({ flags: { "binaries-dir": dir } });
  const whole = await ask(at.url, LINUX);
  expect(whole.status).toBe(200);
  expect(whole.body.equals(CONTENT)).toBe(true);
  expect(whole.headers).toMatchObject({
    etag: `"${SHA1}"`,
    "content-length": String(CONTENT.length),
    "x-original-content-length": String(CONTENT.length),
    "content-type": "application/octet-stream",
    "content-disposition": 'attachment; filename="coder-linux-amd64"',
    "accept-ranges": "bytes",
    "x-content-type-options": "nosniff",
  });
  const head = await ask(at.url, LINUX, {}, "HEAD");
  expect([head.status, head.body.length, head.headers["content-length"]]).toEqual([200, 0, String(CONTENT.length)]);
  const again = await ask(at.url, LINUX, { "If-None-Match": `"${SHA1}"` });
  expect([again.status, again.body.length, again.headers.etag]).toEqual([304, 0, `"${SHA1}"`]);
  expect((await ask(at.url, LINUX, { "If-None-Match": '"other"' })).status).toBe(200);
  expect((await ask(at.url, "/bin/coder-windows-amd64.exe")).body.toString()).toBe("MZ");
  const posted = await ask(at.url, LINUX, {}, "POST");
  expect([posted.status, posted.headers.allow]).toEqual([405, "GET, HEAD"]);
});

test("parts: from the middle, from the end, conditional, and none beyond the end of the file", async () => {
  const dir = binaries("parts", { "coder-linux-amd64": CONTENT });
  await using at = await startServer({ flags: { "binaries-dir": dir } });
  const part = async (headers: Record<string, string>) => {
    const reply = await ask(at.url, LINUX, headers);
    return [reply.status, reply.headers["content-range"], reply.body.toString("hex")];
  };
  const size = CONTENT.length;
  const cut = (start: number, end: number) => CONTENT.subarray(start, end).toString("hex");
  expect(await part({ Range: "bytes=10-19" })).toEqual([206, `bytes 10-19/${size}`, cut(10, 20)]);
  expect(await part({ Range: "bytes=-5" })).toEqual([
    206,
    `bytes ${size - 5}-${size - 1}/${size}`,
    cut(size - 5, size),
  ]);
  expect((await part({ Range: "bytes=10-19", "If-Range": `"${SHA1}"` }))[0]).toBe(206);
  expect((await part({ Range: "bytes=10-19", "If-Range": '"older"' }))[0]).toBe(200);
  expect(await part({ Range: `bytes=${size}-` })).toEqual([416, `bytes */${size}`, ""]);
  // The client may have the beginning of a compressed answer, which a part of the plain file would not continue.
  const packed = await ask(at.url, LINUX, { Range: "bytes=10-19", "Accept-Encoding": "gzip" });
  expect([packed.status, packed.headers["content-encoding"]]).toEqual([200, "gzip"]);
});

test("compressed on request: the file beside it, else on the fly", async () => {
  const dir = binaries("packed", {
    "coder-linux-amd64": CONTENT,
    "coder-linux-arm64": CONTENT,
    "coder-linux-arm64.gz": zlib.gzipSync("prepared"),
    "coder-darwin-arm64": CONTENT,
    "coder-darwin-arm64.gz": zlib.gzipSync("of an older build"),
  });
  utimesSync(join(dir, "coder-darwin-arm64.gz"), 1_000, 1_000);
  await using at = await startServer({ flags: { "binaries-dir": dir } });
  const streamed = await ask(at.url, LINUX, { "Accept-Encoding": "gzip" });
  expect(streamed.headers).toMatchObject({ "content-encoding": "gzip", etag: `"${SHA1}"`, vary: "Accept-Encoding" });
  expect(streamed.headers["x-original-content-length"]).toBe(String(CONTENT.length));
  expect(zlib.gunzipSync(streamed.body).equals(CONTENT)).toBe(true);
  if (typeof zlib.zstdDecompressSync === "function") {
    const zstd = await ask(at.url, LINUX, { "Accept-Encoding": "gzip, zstd" });
    expect(zstd.headers["content-encoding"]).toBe("zstd");
    expect(zlib.zstdDecompressSync(zstd.body).equals(CONTENT)).toBe(true);
  }
  const prepared = await ask(at.url, "/bin/coder-linux-arm64", { "Accept-Encoding": "gzip" });
  expect(zlib.gunzipSync(prepared.body).toString()).toBe("prepared");
  expect(prepared.headers["content-length"]).toBe(String(prepared.body.length));
  const fresh = await ask(at.url, "/bin/coder-darwin-arm64", { "Accept-Encoding": "gzip" });
  expect(zlib.gunzipSync(fresh.body).equals(CONTENT)).toBe(true);
});

test("more clients than compressors: the others get the file uncompressed, without waiting", async () => {
  const big = randomBytes(16 * 1024 * 1024);
  const dir = binaries("busy", { "coder-linux-amd64": big });
  await using at = await startServer({ flags: { "binaries-dir": dir } });
  const gzip = { "Accept-Encoding": "gzip" };
  // Their answers are not read, so they stay in progress.
  const slow = [await begin(at.url, LINUX, gzip), await begin(at.url, LINUX, gzip)];
  expect(slow.map((reply) => reply.headers["content-encoding"])).toEqual(["gzip", "gzip"]);
  const third = await ask(at.url, LINUX, gzip);
  expect([third.headers["content-encoding"], third.body.length]).toEqual([undefined, big.length]);
  for (const reply of slow) reply.destroy();
  // Closed connections returned their places.
  const coding = async () => {
    const reply = await begin(at.url, LINUX, gzip);
    reply.destroy();
    return reply.headers["content-encoding"];
  };
  await expect.poll(coding, { timeout: 20_000 }).toBe("gzip");
});

test("downloads have places: one address has a share, which is returned", async () => {
  const dir = binaries("places", { "coder-linux-amd64": randomBytes(32 * 1024 * 1024) });
  const limits = { downloads: { total: 8, perAddress: 2 } };
  await using at = await startServer({ flags: { "binaries-dir": dir }, deps: { limits } });
  const open = [await begin(at.url, LINUX), await begin(at.url, LINUX)];
  const refused = await ask(at.url, LINUX);
  expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "10"]);
  expect((await ask(at.url, "/healthz")).status).toBe(200);
  for (const reply of open) reply.destroy();
  await expect.poll(async () => (await ask(at.url, LINUX, {}, "HEAD")).status, { timeout: 20_000 }).toBe(200);
});

test("SHA256SUMS: the folder's own if it has one, so that damage is detected, otherwise computed from the files; signatures", async () => {
  const signed = { "coder-linux-amd64": CONTENT, "coder-linux-amd64.asc": "-----BEGIN PGP SIGNATURE-----" };
  const dir = binaries("sums", { ...signed, "coder-linux-arm64": "b" });
  await using at = await startServer({ flags: { "binaries-dir": dir } });
  const sum = (text: string) => createHash("sha256").update(text).digest("hex");
  const first = await ask(at.url, "/bin/SHA256SUMS");
  expect(first.body.toString()).toBe(`${SHA256}  coder-linux-amd64\n${sum("b")}  coder-linux-arm64\n`);
  expect(first.headers["content-type"]).toBe("text/plain; charset=utf-8");
  const tag = first.headers.etag ?? "";
  expect((await ask(at.url, "/bin/SHA256SUMS", { "If-None-Match": tag })).status).toBe(304);
  writeFileSync(join(dir, "SHA256SUMS"), `${sum("as built")} *coder-linux-arm64\n${sum("c")}  other.tar.gz\n`);
  const declared = (await ask(at.url, "/bin/SHA256SUMS")).body.toString();
  expect(declared).toBe(`${SHA256}  coder-linux-amd64\n${sum("as built")}  coder-linux-arm64\n`);
  expect((await ask(at.url, `${LINUX}.asc`)).body.toString()).toBe("-----BEGIN PGP SIGNATURE-----");
  expect((await ask(at.url, "/bin/coder-linux-arm64.asc")).status).toBe(404);
});

test("security 35: a missing file is answered by a 404 that names the next step; no path, link or pipe leads elsewhere", async () => {
  const dir = binaries("hostile", { "coder-linux-amd64": CONTENT, "secret.txt": "hidden" });
  writeFileSync(join(folder, "outside"), "hidden");
  symlinkSync(join(folder, "outside"), join(dir, "coder-linux-arm64"));
  symlinkSync("/proc/self/environ", join(dir, "coder-darwin-amd64"));
  symlinkSync("coder-linux-amd64", join(dir, "coder-linux-armv7"));
  mkdirSync(join(dir, "coder-darwin-arm64"));
  if (process.platform !== "win32") execFileSync("mkfifo", [join(dir, "coder-windows-amd64.exe")]);
  await using at = await startServer({ flags: { "binaries-dir": dir } });
  const missing = await ask(at.url, "/bin/coder-windows-arm64.exe");
  expect(missing.status).toBe(404);
  expect(missing.headers["content-type"]).toContain("application/json");
  const { message, detail } = JSON.parse(missing.body.toString()) as { message: string; detail: string };
  expect(message).toBe("This deployment has no coder for windows/arm64.");
  expect(detail).toContain("--binaries-dir");
  expect(detail).toContain("CODER_BINARIES_DIR");
  expect(detail).toContain("This deployment has: coder-linux-amd64, coder-linux-armv7.");
  expect(detail).not.toContain(folder);
  const names = ["coder-linux-arm64", "coder-darwin-amd64", "coder-darwin-arm64", "coder-windows-amd64.exe"];
  for (const path of [...names, "secret.txt", "..%2foutside", "%2e%2e/outside", "", "coder-linux-amd64%00"]) {
    const reply = await ask(at.url, `/bin/${path}`);
    expect([path, reply.status]).toEqual([path, 404]);
    expect(reply.body.toString()).not.toContain("hidden");
  }
  expect((await ask(at.url, "/bin/coder-linux-armv7")).body.equals(CONTENT)).toBe(true);
});

test("a server without programs reports it; one that is a single file hands out itself, beside what its folder has", async () => {
  {
    await using at = await startServer();
    expect((await ask(at.url, LINUX)).status).toBe(404);
    expect((await ask(at.url, "/bin/SHA256SUMS")).body.toString()).toContain("provides no coder command");
  }
  const path = join(folder, "myself");
  writeFileSync(path, CONTENT);
  const packaged = { directories: [], own: { path, platform: { system: "linux", architecture: "amd64" } as const } };
  await using at = await startServer({ deps: { packaged } });
  expect((await ask(at.url, LINUX)).body.equals(CONTENT)).toBe(true);
  expect((await ask(at.url, "/bin/SHA256SUMS")).body.toString()).toBe(`${SHA256}  coder-linux-amd64\n`);
  expect((await ask(at.url, "/bin/coder-linux-arm64")).status).toBe(404);
});

test("hashes are computed once for each file, and again for a new one of the same name", async () => {
  const dir = binaries("hashed", { "coder-linux-amd64": "one" });
  let jobs = 0;
  const catalogue = new Catalogue({ directories: [dir] }, (fd, size) => {
    jobs++;
    return hashFile(fd, size);
  });
  const sha1 = async () => {
    const program = await catalogue.openProgram({ system: "linux", architecture: "amd64" });
    await program?.handle.close();
    return program?.hashes.sha1;
  };
  const of = (text: string) => createHash("sha1").update(text).digest("hex");
  expect(await Promise.all([sha1(), sha1(), sha1()])).toEqual([of("one"), of("one"), of("one")]);
  expect(jobs).toBe(1);
  rmSync(join(dir, "coder-linux-amd64"));
  writeFileSync(join(dir, "coder-linux-amd64"), "two or more");
  expect(await sha1()).toBe(of("two or more"));
  expect(jobs).toBe(2);
});

test("a file that is truncated while it is sent ends the connection; one that changes while it is hashed is refused for now", async () => {
  const dir = binaries("cut", { "coder-linux-amd64": randomBytes(32 * 1024 * 1024) });
  const path = join(dir, "coder-linux-amd64");
  await using at = await startServer({ flags: { "binaries-dir": dir } });
  const reply = await begin(at.url, LINUX);
  truncateSync(path, 1000);
  const ended = new Promise<string>((resolve) => {
    reply.on("end", () => resolve("end"));
    reply.on("error", () => resolve("error"));
  });
  reply.resume();
  expect(await ended).toBe("error");
  const catalogue = new Catalogue({ directories: [dir] }, async () => {
    writeFileSync(path, "another");
    return { sha1: "", sha256: "" };
  });
  await expect(catalogue.openProgram({ system: "linux", architecture: "amd64" })).rejects.toThrow(FileChanged);
});
