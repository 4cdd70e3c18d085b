import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Deployment } from "coder-client/rest/deployment";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { UserError } from "../errors/user-error.ts";
import { programName, type UpdatedProgram, updateProgram } from "./self-update.ts";

/** A script stands in for an executable, which does not work on Windows. */
const script = (version: string) => `#!/bin/sh\necho '{"version":"${version}"}'\n`;
const sumOf = (text: string) => createHash("sha256").update(text).digest("hex");

let folder: string;
let server: Server;
let deployment: Deployment;
let answers: Record<string, string>;
/** Number of bytes of an answer that are sent before the connection ends. */
let cutAfter: number | undefined;
/** Sent instead of every answer of the deployment. */
let inItsPlace: { status: number; headers: Record<string, string>; body: string } | undefined;
let program: UpdatedProgram;
const name = programName(process);
const signal = new AbortController().signal;
const lines: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    if (inItsPlace !== undefined) {
      response.writeHead(inItsPlace.status, inItsPlace.headers).end(inItsPlace.body);
      return;
    }
    const body = answers[request.url ?? ""];
    response.setHeader("X-Coder-Build-Version", "v2.26.0");
    if (body === undefined) {
      response.writeHead(404, { "Content-Type": "application/json" }).end('{"message":"no"}');
      return;
    }
    response.writeHead(200, { "Content-Type": "application/octet-stream", "Content-Length": body.length });
    if (cutAfter === undefined || request.url === "/bin/SHA256SUMS") response.end(body);
    else response.write(body.slice(0, cutAfter), () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  deployment = new Deployment({ url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) });
});
afterAll(() => {
  deployment.dialer.close();
  server.close();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coder-update-test-"));
  const path = join(folder, "coder");
  writeFileSync(path, script("v1.0.0"));
  chmodSync(path, 0o755);
  program = { path, single: true, platform: process.platform, arch: process.arch, version: "v1.0.0" };
  cutAfter = undefined;
  inItsPlace = undefined;
  offer(script("v2.0.0"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function offer(content: string, sum = sumOf(content)): void {
  answers = { "/bin/SHA256SUMS": `${sumOf("x")}  coder-other-one\n${sum}  ${name}\n`, [`/bin/${name}`]: content };
}

const update = () => updateProgram(deployment, program, { signal, say: (line) => lines.push(line) });

/** After any failure the old program stays, with nothing beside it. */
async function refuses(code: string): Promise<UserError> {
  const error = await update().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).code).toBe(code);
  expect(readdirSync(folder)).toEqual(["coder"]);
  expect(readFileSync(program.path, "utf8")).toBe(script("v1.0.0"));
  return error as UserError;
}

test("the executable replaces itself, keeps its mode, and says both versions; again there is nothing to do", async () => {
  chmodSync(program.path, 0o711);
  expect(await update()).toEqual({ kind: "replaced", path: program.path, before: "v1.0.0", after: "v2.0.0" });
  expect(readFileSync(program.path, "utf8")).toBe(script("v2.0.0"));
  expect(statSync(program.path).mode & 0o777).toBe(0o711);
  expect(readdirSync(folder)).toEqual(["coder"]);
  expect(lines.at(-1)).toContain(`/bin/${name}`);
  expect(await update()).toMatchObject({ kind: "same" });
});

test("a damaged, truncated, unrunnable or missing file is not installed", async () => {
  offer(script("v2.0.0"), sumOf("announced"));
  expect((await refuses("ERR_WRONG_SUM")).why).toContain(sumOf("announced"));
  offer(script("v2.0.0"));
  cutAfter = 10;
  await refuses("ERR_FAILED");
  cutAfter = undefined;
  for (const broken of ["#!/no/such/loader\n", "#!/bin/sh\nexit 3\n", "#!/bin/sh\necho '{}'\n"]) {
    offer(broken);
    await refuses("ERR_DOES_NOT_RUN");
  }
  answers = { "/bin/SHA256SUMS": `${sumOf("x")}  coder-other-one\n` };
  expect((await refuses("ERR_NO_PROGRAM")).why).toContain("coder-other-one");
  answers = {};
  expect((await refuses("ERR_NO_PROGRAM")).next[0]).toContain("--binaries-dir");
});

test.each([
  [503, { Server: "lb" }, "<title>no backend</title>", "ERR_NOT_A_CODER_SERVER"],
  [302, { Location: "https://portal.test/" }, "", "ERR_NOT_A_CODER_SERVER"],
  [200, { "Content-Type": "text/html" }, "<title>Log in</title>", "ERR_NOT_A_CODER_SERVER"],
  [503, { "X-Coder-Build-Version": "v2.26.0" }, '{"message":"The database does not answer"}', "ERR_SERVER"],
])("%d %j is not taken for the deployment's own list of commands", async (status, headers, body, code) => {
  inItsPlace = { status, headers, body };
  await expect(update()).rejects.toMatchObject({ code });
  expect(readdirSync(folder)).toEqual(["coder"]);
});

test.runIf(process.platform === "linux")("a folder that may not be written to is named", async () => {
  // Not even root can create files there.
  program = { ...program, path: "/sys/kernel/uevent_seqnum" };
  await expect(update()).rejects.toMatchObject({
    code: "ERR_NOT_UPDATABLE",
    why: "this user may not write to /sys/kernel",
    next: ["run this as the user who installed it, for example with sudo"],
  });
});

test("a checkout is left to the tool that made it", async () => {
  program = { ...program, single: false };
  expect((await refuses("ERR_NOT_UPDATABLE")).why).toBe("it runs from a checkout");
  expect(programName({ platform: "win32", arch: "x64" })).toBe("coder-windows-amd64.exe");
  expect(programName({ platform: "darwin", arch: "arm64" })).toBe("coder-darwin-arm64");
});

test("what npm installed is left to npm, also where a link leads to it", async () => {
  const kept = join(folder, "lib/node_modules/@coder-network/cli/dist");
  mkdirSync(kept, { recursive: true });
  writeFileSync(join(kept, "coder.cjs"), "");
  const path = join(folder, "linked");
  symlinkSync(join(kept, "coder.cjs"), path);
  program = { ...program, path, single: false };
  await expect(update()).rejects.toMatchObject({ code: "ERR_NOT_UPDATABLE", why: "it was installed by npm" });
});

test("on Windows the running one is moved aside", async () => {
  program = { ...program, platform: "win32" };
  const windows = programName(program);
  const content = script("v2.0.0");
  answers = { "/bin/SHA256SUMS": `${sumOf(content)}  ${windows}\n`, [`/bin/${windows}`]: content };
  expect(await update()).toMatchObject({ kind: "replaced", after: "v2.0.0" });
  expect(readFileSync(`${program.path}.old`, "utf8")).toBe(script("v1.0.0"));
  expect(existsSync(program.path)).toBe(true);
});
