/** `--region`: the relay of a workspace proxy instead of the deployment's own. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { TestDeployment } from "./deployment.ts";
import { NearRegion, PING, RELAYED } from "./near-region.ts";

const LIST = '999 coder "Coder Embedded Relay", 10001 coder_near "Near you"';

let deployment: TestDeployment;

beforeAll(async () => {
  ({ deployment } = await NearRegion.start());
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
