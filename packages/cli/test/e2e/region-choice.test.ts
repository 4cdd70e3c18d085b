/** `--region`: the relay of a workspace proxy instead of the deployment's own, and what takes its place when it is away. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const eventually = { timeout: 30_000, interval: 100 };
const RELAYED = { CODER_DISABLE_DIRECT_CONNECTIONS: "true" };
const LIST = '999 coder "Coder Embedded Relay", 10001 coder_near "Near you"';
const PING = ["ping", "demo", "-n", "1"];

let deployment: TestDeployment;
let proxy: ChildProcess;

async function inTheMap(): Promise<boolean> {
  const answer = await deployment.api("GET", "/api/v2/workspaceagents/connection");
  const { derp_map: map } = (await answer.json()) as { derp_map: { Regions: Record<string, unknown> } };
  return "10001" in map.Regions;
}

async function wsproxy(...words: string[]): Promise<string> {
  const done = await deployment.run(["wsproxy", ...words]);
  expect(done.code, done.stderr).toBe(0);
  return done.stdout.trim();
}

beforeAll(async () => {
  deployment = await TestDeployment.start();
  const words = ["--name", "near", "--display-name", "Near you", "--only-token", "--no-prompt"];
  const token = await wsproxy("create", ...words);
  const port = await freePort();
  const address = ["--access-url", `http://127.0.0.1:${port}`, "--http-address", `127.0.0.1:${port}`];
  const command = ["wsproxy", "server", "--primary-access-url", deployment.url, ...address];
  proxy = deployment.spawn([...command, "--stun-address", "disable", "--derp-only"], {
    CODER_PROXY_SESSION_TOKEN: token,
  });
  await vi.waitFor(async () => expect(await inTheMap()).toBe(true), eventually);
  // Its home is the one relay or the other, which are equally near: it leaves that of the proxy as its clients do.
  deployment.startAgent(await deployment.createWorkspace("demo"));
}, 90_000);

afterAll(async () => {
  await deployment?.close();
});

it.each([
  ["near", "Near you"],
  ["primary", "Coder Embedded Relay"],
])("ping --region %s goes by that relay", async (region, name) => {
  const ping = await deployment.run([...PING, "--region", region], { environment: RELAYED });
  expect(ping.code, ping.stderr).toBe(0);
  expect(ping.stdout).toContain(`proxied via DERP(${name})`);
  expect(ping.stderr).toMatch(new RegExp(`✔ preferred DERP region: [0-9]+ \\(${name}\\)`));
  expect(ping.stderr).not.toContain("warning");
});

it("CODER_REGION chooses for every command, the flag beats it, and auto is the automatic choice", async () => {
  const environment = { ...RELAYED, CODER_REGION: "near" };
  const done = await deployment.run(["ssh", "demo", "--", "echo", "there"], { environment });
  expect(done).toMatchObject({ code: 0, stdout: "there\n", stderr: "" });
  const near = await deployment.run([...PING, "--output", "json"], { environment });
  expect(JSON.parse(near.stdout)).toMatchObject({ peer: { own_region: { id: 10001, name: "Near you" } } });
  const unknown = { ...RELAYED, CODER_REGION: "mars" };
  expect((await deployment.run(PING, { environment: unknown })).code).toBe(2);
  expect((await deployment.run([...PING, "--region", "auto"], { environment: unknown })).code).toBe(0);
});

it.each([PING, ["ssh", "--stdio", "demo"]])(
  "an unknown region is a usage error that lists those of the deployment: %s",
  async (...command) => {
    const [name = "", ...rest] = command;
    const refused = await deployment.run([name, "--region", "mars", ...rest], { environment: RELAYED });
    expect([refused.code, refused.stdout]).toEqual([2, ""]);
    expect(refused.stderr).toContain(`The deployment has no relay region "mars"; it has: ${LIST}`);
  },
);

it("netcheck lists the proxy with status and latency", async () => {
  const people = await deployment.run(["netcheck", "--output", "table"]);
  expect(people.stdout).toMatch(/\nWorkspace proxies\n {2}near {2}ok {6}[0-9.]+ms\n/);
  const { workspace_proxies: proxies } = JSON.parse((await deployment.run(["netcheck", "--output", "json"])).stdout);
  expect(proxies).toEqual([
    { name: "near", display_name: "Near you", healthy: true, region_id: 10001, latency_ms: expect.any(Number) },
  ]);
});

it("a start with a region whose relay is away goes on by the automatic choice, with a line that states so", async () => {
  const open = deployment.spawn(["ssh", "--region", "near", "demo", "--", "cat"], RELAYED);
  let text = "";
  for (const stream of [open.stdout!, open.stderr!])
    stream.on("data", (chunk) => {
      text += String(chunk);
    });
  open.stdin!.write("before\n");
  await vi.waitFor(() => expect(text).toBe("before\n"), eventually);
  proxy.kill("SIGKILL");
  await once(proxy, "exit");
  const using = 'using region "Coder Embedded Relay", chosen automatically';
  const killed = await deployment.run([...PING, "--region", "near"], { environment: RELAYED });
  expect(killed.code, killed.stderr).toBe(0);
  expect(killed.stdout).toContain("proxied via DERP(Coder Embedded Relay)");
  expect(killed.stderr.match(/^warning: .*$/gm)).toEqual([
    `warning: the relay of region "near" does not answer: ${using}`,
  ]);
  // A session that is open goes on without a line in its output.
  open.stdin!.end("after\n");
  expect((await once(open, "close"))[0]).toBe(0);
  expect(text).toBe("before\nafter\n");
  // A new token takes the region out of the map at once; its name stays known.
  await wsproxy("regenerate-token", "near");
  expect(await inTheMap()).toBe(false);
  const gone = await deployment.run(["ssh", "--region", "near", "demo", "--", "echo", "there"], {
    environment: RELAYED,
  });
  expect(gone).toMatchObject({ code: 0, stdout: "there\n" });
  expect(gone.stderr).toBe(`warning: the relay of region "near" is not in the relay map at present: ${using}\n`);
  await wsproxy("delete", "near", "--yes");
  expect((await deployment.run([...PING, "--region", "near"], { environment: RELAYED })).code).toBe(2);
}, 60_000);
