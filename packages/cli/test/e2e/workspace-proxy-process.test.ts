/** `coder wsproxy server` as the only relay that answers: sessions through it, and what they survive. */
import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const eventually = { timeout: 30_000, interval: 100 };
const RELAYED = { CODER_DISABLE_DIRECT_CONNECTIONS: "true" };
/** A relay that does not exist: the deployment's own is off, but a map has to name one. */
const DEAD_REGION = {
  RegionID: 1,
  RegionCode: "dead",
  RegionName: "Dead",
  Nodes: [{ Name: "1a", RegionID: 1, HostName: "127.0.0.1", DERPPort: 1, STUNPort: -1, ForceHTTP: true }],
};

const folder = mkdtempSync(join(tmpdir(), "coder-proxy-"));
const map = join(folder, "map.json");
let deployment: TestDeployment;
let port: number;
let token: string;
let proxy: ChildProcess;
let log = "";

async function startProxy(): Promise<ChildProcess> {
  const url = `http://127.0.0.1:${port}`;
  const words = ["--primary-access-url", deployment.url, "--access-url", url, "--http-address", `127.0.0.1:${port}`];
  const child = deployment.spawn(["wsproxy", "server", ...words, "--stun-address", "disable", "--derp-only"], {
    CODER_PROXY_SESSION_TOKEN: token,
  });
  for (const stream of [child.stdout!, child.stderr!])
    stream.on("data", (chunk) => {
      log += String(chunk);
    });
  return child;
}

/** The proxy as the deployment lists it. */
async function listed(): Promise<{ healthy: boolean; status: { status: string } }> {
  const answer = await deployment.api("GET", "/api/v2/workspaceproxies/near");
  return (await answer.json()) as { healthy: boolean; status: { status: string } };
}

async function inTheMap(): Promise<boolean> {
  const answer = await deployment.api("GET", "/api/v2/workspaceagents/connection");
  const { derp_map: map } = (await answer.json()) as { derp_map: { Regions: Record<string, unknown> } };
  return "10001" in map.Regions;
}

/** A session that echoes its input. */
class Echo {
  readonly child = deployment.spawn(["ssh", "demo", "--", "cat"], RELAYED);
  #text = "";

  constructor() {
    this.child.stdout!.on("data", (chunk) => {
      this.#text += String(chunk);
    });
  }

  /** Writes a line and waits until it comes back. */
  async says(line: string): Promise<void> {
    this.child.stdin!.write(`${line}\n`);
    await vi.waitFor(() => expect(this.#text).toContain(line), eventually);
  }
}

beforeAll(async () => {
  writeFileSync(map, JSON.stringify({ Regions: { 1: DEAD_REGION } }));
  deployment = await TestDeployment.start(undefined, undefined, [
    "--derp-server-enable=false",
    "--derp-config-path",
    map,
  ]);
  port = await freePort();
  const made = await deployment.run(["wsproxy", "create", "--name", "near", "--only-token", "--no-prompt"]);
  expect(made.code, made.stderr).toBe(0);
  token = made.stdout.trim();
  proxy = await startProxy();
  await vi.waitFor(async () => expect(await inTheMap()).toBe(true), eventually);
}, 90_000);

afterAll(async () => {
  await deployment?.close();
  rmSync(folder, { recursive: true });
});

it("SIGTERM deregisters: the region leaves the map at once", async () => {
  await vi.waitFor(async () => expect(await inTheMap()).toBe(true), eventually);
  proxy.kill("SIGTERM");
  expect((await once(proxy, "exit"))[0]).toBe(0);
  expect(await inTheMap()).toBe(false);
  proxy = await startProxy();
  await vi.waitFor(async () => expect(await inTheMap()).toBe(true), eventually);
}, 60_000);

it("a session goes over the proxy's relay, and the token is in no output and no process list", async () => {
  deployment.startAgent(await deployment.createWorkspace("demo"));
  const done = await deployment.run(["ssh", "demo", "--", "echo", "over the proxy"], { environment: RELAYED });
  expect(done).toMatchObject({ code: 0, stdout: "over the proxy\n" });
  const ping = await deployment.run(["ping", "demo", "-n", "1"], { environment: RELAYED });
  expect(ping.stdout).toContain("near");
  const secret = token.slice(token.indexOf(":") + 1);
  expect(`${log}${execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })}`).not.toContain(secret);
});

it("a session goes on while the primary is away, and while the proxy is killed and comes back", async () => {
  const echo = new Echo();
  await echo.says("before");
  const { server } = deployment;
  server!.kill("SIGKILL");
  await once(server!, "exit");
  await echo.says("without a primary");
  await deployment.startServer();
  await vi.waitFor(async () => expect(await inTheMap()).toBe(true), eventually);
  await echo.says("with a primary again");
  proxy.kill("SIGKILL");
  await once(proxy, "exit");
  proxy = await startProxy();
  await echo.says("after the proxy was killed");
  echo.child.stdin!.end();
  expect((await once(echo.child, "exit"))[0]).toBe(0);
}, 90_000);

it("a replaced token takes the region out of the map, and the proxy knows within seconds; a new start with it ends", async () => {
  const done = await deployment.run(["wsproxy", "regenerate-token", "near"]);
  expect(done.code, done.stderr).toBe(0);
  await vi.waitFor(async () => expect(await inTheMap()).toBe(false), eventually);
  await vi.waitFor(async () => {
    const report = (await (await fetch(`http://127.0.0.1:${port}/healthz-report`)).json()) as { errors: string[] };
    expect(report.errors.join()).toContain("has not accepted this proxy's token");
  }, eventually);
  expect((await listed()).healthy).toBe(false);
  proxy.kill("SIGTERM");
  await once(proxy, "exit");
  proxy = await startProxy();
  expect((await once(proxy, "close"))[0]).toBe(1);
  expect(log).toContain("does not accept this proxy's token");
}, 60_000);
