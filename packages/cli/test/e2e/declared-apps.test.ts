/**
 * Declared apps of a real workspace: added by command and by the agent's file, their health, and programs that need no changes.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { TestDeployment } from "./deployment.ts";

const PATIENCE = { timeout: 60_000, interval: 200 };

let deployment: TestDeployment;
let token: string;
let appsFile: string;
let opener: string;
const programs: (Server | ChildProcess)[] = [];

beforeAll(async () => {
  deployment = await TestDeployment.start(undefined, undefined, [
    "--wildcard-access-url",
    "*.coder.localhost",
    "--max-share-level",
    "public",
  ]);
  token = readFileSync(join(deployment.folder, "config/owner/session"), "utf8").trim();
  appsFile = join(deployment.folder, "apps.json");
  opener = join(deployment.folder, "bin");
  mkdirSync(opener);
  writeFileSync(join(opener, "xdg-open"), `#!/bin/sh\nprintf %s "$1" > '${deployment.folder}/opened'\n`);
  chmodSync(join(opener, "xdg-open"), 0o755);
  symlinkSync("/bin/sh", join(opener, "sh"));
  const agentToken = await deployment.createWorkspace("dev");
  deployment.startAgent(agentToken, { CODER_AGENT_APPS_FILE: appsFile });
  await vi.waitFor(async () => expect((await coder("show", "dev")).stdout).toContain("connected"), PATIENCE);
}, 120_000);

afterAll(async () => {
  for (const program of programs) {
    if ("kill" in program) program.kill("SIGKILL");
    else program.closeAllConnections();
    if ("close" in program) program.close();
  }
  await deployment?.close();
});

const coder = (...args: string[]) => deployment.run(args);

async function listed(): Promise<
  Record<string, { health: string; address: string; source: string; sharing_level: string }>
> {
  const { stdout } = await coder("apps", "list", "dev", "--output", "json");
  return Object.fromEntries(JSON.parse(stdout).map((app: { slug: string }) => [app.slug, app]));
}

/** Requests a path of an app at the app's own host name. */
async function ask(slug: string, path: string, options: { method?: string; headers?: Record<string, string> } = {}) {
  const port = Number(new URL(deployment.url).port);
  const request = httpRequest({
    host: "127.0.0.1",
    port,
    path,
    method: options.method ?? "GET",
    agent: false,
    headers: {
      Host: `${slug}--main--dev--owner.coder.localhost:${port}`,
      "Coder-Session-Token": token,
      ...options.headers,
    },
  });
  request.end();
  const [response] = await once(request, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode as number, headers: response.headers, text: Buffer.concat(chunks).toString() };
}

async function program(address: string, status = () => 200): Promise<number> {
  const server = createServer((request, response) => response.writeHead(status()).end(`${address} ${request.url}`));
  programs.push(server);
  await once(server.listen(0, address), "listening");
  return (server.address() as AddressInfo).port;
}

test("an app is added, opened at its own name, edited and removed by command", async () => {
  const port = await program("127.0.0.1");
  const added = await coder("apps", "add", "dev", "web", "--app-url", `http://127.0.0.1:${port}`, "--name", "My site");
  expect([added.code, added.stderr]).toEqual([0, expect.stringContaining('App "web" was added')]);
  expect((await ask("web", "/x")).text).toBe("127.0.0.1 /x");
  const opened = await deployment.run(["open", "app", "dev", "web"], { environment: { PATH: opener } });
  expect(opened.code).toBe(0);
  const address = `http://web--main--dev--owner.coder.localhost:${new URL(deployment.url).port}/`;
  expect(readFileSync(join(deployment.folder, "opened"), "utf8")).toBe(address);
  expect((await listed())["web"]).toMatchObject({ address, source: "server", sharing_level: "owner" });
  expect((await coder("apps", "edit", "dev", "web", "--share", "public")).code).toBe(0);
  expect((await coder("apps", "list", "dev")).stdout).toMatch(/web .*public/);
  const shared = await coder("apps", "share", "dev", String(port), "--level", "public", "--for", "1h");
  expect([shared.code, shared.stderr]).toEqual([0, expect.stringMatching(/is shared at the level "public" until 20/)]);
  for (const [args, words] of [
    [["edit", "dev", "none", "--share", "public"], 'has no app "none"'],
    [["edit", "dev", "web"], "Nothing to change"],
    [["add", "dev", "web", "--app-url", "http://127.0.0.1:1234"], 'already has an app "web"'],
    [["add", "dev", "far", "--app-url", "http://10.0.0.1"], "Validation failed"],
    [["share", "dev", "web"], "coder apps edit dev web --share"],
  ] as const) {
    const refused = await coder("apps", ...args);
    expect([args, refused.code !== 0, refused.stderr]).toEqual([args, true, expect.stringContaining(words)]);
  }
  expect((await coder("apps", "remove", "dev", "web")).code).toBe(0);
  expect((await ask("web", "/x")).status).toBe(404);
}, 60_000);

test("the agent declares the apps of its file, checks them, and shares none by itself", async () => {
  let serves = true;
  const port = await program("127.0.0.1", () => (serves ? 200 : 503));
  const url = `http://127.0.0.1:${port}`;
  const app = { slug: "file", url, sharing_level: "authenticated" };
  writeFileSync(
    `${appsFile}.new`,
    JSON.stringify({ apps: [{ ...app, healthcheck: { url, interval: 1, threshold: 1 } }] }),
  );
  renameSync(`${appsFile}.new`, appsFile);
  await vi.waitFor(async () => expect((await listed())["file"]?.health).toBe("healthy"), PATIENCE);
  expect((await listed())["file"]).toMatchObject({ source: "agent", sharing_level: "owner" });
  serves = false;
  await vi.waitFor(async () => expect((await listed())["file"]?.health).toBe("unhealthy"), PATIENCE);
  const approved = await coder("apps", "approve", "dev", "file", "--yes");
  expect([approved.code, approved.stderr]).toEqual([0, expect.stringContaining('shared at the level "authenticated"')]);
  expect((await listed())["file"]).toMatchObject({ sharing_level: "authenticated" });
}, 120_000);

test("a workspace is made with its apps", async () => {
  const made = await coder(
    ...["external-workspaces", "create", "box"],
    ...["--app", 'slug=web,url=http://127.0.0.1:8080,name="My site",share=owner,health=/healthz'],
    ...["--app", "slug=top,command=htop"],
  );
  expect(made.code).toBe(0);
  const { stdout } = await coder("apps", "list", "box", "--output", "json");
  expect(JSON.parse(stdout)).toMatchObject([
    {
      slug: "web",
      display_name: "My site",
      healthcheck: { url: "http://127.0.0.1:8080/healthz" },
      health: "initializing",
    },
    { slug: "top", command: "htop", address: "" },
  ]);
  const wrong = await coder("external-workspaces", "create", "other", "--app", "web");
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("--app holds")]);
}, 60_000);

const hasPython = spawnSync("python3", ["--version"]).status === 0;
test.runIf(hasPython)(
  "Python's file server knows nothing of it (needs python3)",
  async () => {
    const folder = join(deployment.folder, "site");
    mkdirSync(folder);
    writeFileSync(join(folder, "a b.txt"), "hello");
    const python = spawn("python3", ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]);
    programs.push(python);
    const [line] = (await once(python.stdout, "data")) as [Buffer];
    const port = /port (\d+)/.exec(String(line))![1];
    await coder("apps", "add", "dev", "files", "--app-url", `http://127.0.0.1:${port}`);
    const file = await ask("files", "/a%20b.txt");
    expect([file.status, file.text]).toEqual([200, "hello"]);
    const head = await ask("files", "/a%20b.txt", { method: "HEAD" });
    expect([head.status, head.headers["content-length"], head.text]).toEqual([200, "5", ""]);
    expect((await ask("files", "/")).text).toContain("a%20b.txt");
    expect((await ask("files", "/none")).status).toBe(404);
  },
  60_000,
);

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === "::1"),
);
test.runIf(hasIpv6)(
  "a program listens on ::1 alone (needs IPv6)",
  async () => {
    const port = await program("::1");
    await coder("apps", "add", "dev", "six", "--app-url", `http://[::1]:${port}/base`);
    const answer = await ask("six", "/x?y");
    expect([answer.status, answer.text]).toEqual([200, "::1 /base/x?y"]);
  },
  60_000,
);
