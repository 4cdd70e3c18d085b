/** What a workspace proxy states and learns with its own token, and how its health affects the relay map. */
import { randomUUID } from "node:crypto";
import { type RegisterProxyRequest, registerProxyResponse } from "coder-protocol/rest/workspace-proxies";
import { describe, expect, test, vi } from "vitest";
import { parseDerpMap } from "wg-userspace/derp/map";
import { openSocketOrFail, send } from "./helpers.ts";
import {
  asProxy,
  createProxy,
  type Deployment,
  FakeProxy,
  PROXIES,
  proxyDeployment,
  regionIds,
  until,
} from "./proxies.ts";

const REGION = 10_001;
const edit = (at: Deployment, body: unknown) => send(at.url, "PATCH", `${PROXIES}/near`, { token: at.token, body });
const near = async (at: Deployment) => (await send(at.url, "GET", `${PROXIES}/near`, { token: at.token })).json;
const isIn = (at: Deployment) => () => regionIds(at).includes(REGION);
const isOut = (at: Deployment) => () => !regionIds(at).includes(REGION);

test("a registration names mesh key, region and relay map; the region enters the map with the first check", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  const answer = await process.register(at, token, { stun_port: 3479 });
  expect(answer.status).toBe(201);
  const body = registerProxyResponse.parse(answer.json);
  expect(body).toMatchObject({
    derp_region_id: REGION,
    derp_force_websockets: false,
    disable_direct_connections: false,
    sibling_replicas: [],
    app_security_key: "",
    admission: "stream",
    refresh_ms: 30_000,
  });
  expect(body.derp_mesh_key).toMatch(/^[0-9a-f]{64}$/);
  expect("map" in parseDerpMap(body.derp_map)).toBe(true);

  await until(at, isIn(at));
  expect(at.server.parts.control.relayMap().regions.get(REGION)).toMatchObject({
    regionCode: "coder_near",
    regionName: "near",
    nodes: [{ name: "10001a", hostName: "127.0.0.1", derpPort: process.port, forceHttp: true, stunPort: 3479 }],
  });
  expect(await near(at)).toMatchObject({
    healthy: true,
    path_app_url: process.url,
    version: "v1.2.3",
    derp_enabled: true,
    derp_only: true,
    status: { status: "ok" },
  });
  // It only relays, so it has no apps for which it could be chosen.
  expect((await send(at.url, "GET", "/api/v2/regions", { token: at.token })).json.regions).toHaveLength(1);
  const all = await send(at.url, "GET", "/api/v2/regions?derp_only=true", { token: at.token });
  expect(all.json.regions).toMatchObject([{ name: "primary" }, { name: "near", healthy: true, derp_only: true }]);
});

test("followers of the relay map get each change of it", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  const reader = await openSocketOrFail(at.url, "/api/v2/derp-map", {});
  const next = async () => Object.keys(JSON.parse((await reader.next()) ?? "").Regions);
  expect(await next()).toEqual(["999"]);
  await process.register(at, token);
  expect(await next()).toEqual(["999", String(REGION)]);
  await asProxy(at, token, "deregister", { replica_id: process.replicaId });
  expect(await next()).toEqual(["999"]);
  reader.socket.terminate();
});

describe("health", () => {
  test("two failed checks take the region out of the map, a good one brings it back", async () => {
    await using at = await proxyDeployment();
    await using process = await FakeProxy.start();
    const { token } = await createProxy(at, "near");
    await process.register(at, token);
    await until(at, isIn(at));
    process.status = 500;
    await until(at, isOut(at));
    expect(await near(at)).toMatchObject({
      healthy: false,
      status: { status: "unhealthy", report: { errors: ["its /healthz-report answered HTTP 500"] } },
    });
    process.status = 200;
    await until(at, isIn(at));
  });

  test("a proxy that does not answer is unreachable", async () => {
    await using at = await proxyDeployment();
    const process = await FakeProxy.start();
    const { token } = await createProxy(at, "near");
    await process.register(at, token);
    await until(at, isIn(at));
    await process[Symbol.asyncDispose]();
    await until(at, isOut(at));
    expect((await near(at)).status).toMatchObject({
      status: "unreachable",
      report: { errors: [expect.stringContaining("connection refused")] },
    });
  });

  test.each<[string, Partial<FakeProxy>, RegExp]>([
    ["is no JSON", { body: "<html>internal secret</html>" }, /^its \/healthz-report is not JSON$/],
    ["is no report", { body: '["internal secret"]' }, /^its \/healthz-report is not a health report$/],
    ["is too long", { body: `"${"internal secret".repeat(10_000)}"` }, /^it sent more than 65536 bytes$/],
    ["is a redirect, which is not followed", { status: 302, headers: { Location: "/healthz-report" } }, /HTTP 302$/],
  ])("an answer that %s is unhealthy, and nothing of it is shown", async (_name, answer, why) => {
    await using at = await proxyDeployment({ "proxy-health-interval": "1h" });
    await using process = await FakeProxy.start();
    Object.assign(process, answer);
    const { token } = await createProxy(at, "near");
    await process.register(at, token);
    await until(at, () => at.server.parts.proxies.directory.all[0]?.health_at !== null);
    const { status } = await near(at);
    expect(status.status).toBe("unhealthy");
    expect(status.report.errors).toEqual([expect.stringMatching(why)]);
    expect(JSON.stringify(status)).not.toContain("internal secret");
    expect(process.checks).toBe(1);
  });

  test("when an owner moves a proxy, its region leaves the map until it answers at the new address", async () => {
    await using at = await proxyDeployment();
    await using process = await FakeProxy.start();
    await using elsewhere = await FakeProxy.start();
    elsewhere.status = 404;
    const { token } = await createProxy(at, "near");
    await process.register(at, token);
    await until(at, isIn(at));
    expect((await edit(at, { access_url: `${elsewhere.url}/` })).status).toBe(200);
    expect(isOut(at)()).toBe(true);
    expect((await near(at)).path_app_url).toBe(elsewhere.url);
    elsewhere.status = 200;
    expect((await elsewhere.register(at, token)).status).toBe(201);
    await until(at, isIn(at));
  });
});

test("registrations that contradict themselves are refused by field", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  const cases: [Partial<RegisterProxyRequest>, string][] = [
    [{ access_url: "ftp://x" }, "access_url"],
    [{ access_url: "https://x.example.com/path" }, "access_url"],
    [{ access_url: "https://user:pw@x.example.com" }, "access_url"],
    [{ access_url: "" }, "access_url"],
    [{ wildcard_hostname: "apps.example.com" }, "wildcard_hostname"],
    [{ replica_id: "00000000-0000-0000-0000-000000000000" }, "replica_id"],
    [{ replica_id: "one" }, "replica_id"],
    [{ derp_enabled: false }, "derp_only"],
    [{ replica_relay_address: "relay:1" }, "replica_relay_address"],
    [{ stun_port: 70_000 }, "stun_port"],
  ];
  for (const [fields, field] of cases) {
    const answer = await process.register(at, token, fields);
    expect([field, answer.status]).toEqual([field, 400]);
    expect(answer.json.validations).toEqual([expect.objectContaining({ field })]);
  }
});

test("the processes of a proxy learn of each other; with the last one the region leaves the map", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  await process.register(at, token, { replica_relay_address: "http://10.0.0.1:3000/" });
  const second = randomUUID();
  const answer = await process.register(at, token, { replica_id: second, hostname: "proxy-2" });
  expect(answer.json.sibling_replicas).toEqual([
    expect.objectContaining({
      id: process.replicaId,
      hostname: "proxy-1",
      relay_address: "http://10.0.0.1:3000",
      region_id: REGION,
    }),
  ]);
  await until(at, isIn(at));

  const end = (replica_id: string) => asProxy(at, token, "deregister", { replica_id });
  expect((await end(second)).status).toBe(204);
  expect(isIn(at)()).toBe(true);
  expect((await end(second)).status).toBe(404);
  expect((await end(randomUUID())).status).toBe(404);
  expect((await end(process.replicaId)).status).toBe(204);
  expect(isOut(at)()).toBe(true);
  const late = await process.register(at, token);
  expect([late.status, late.json.validations]).toEqual([400, [expect.objectContaining({ field: "replica_id" })]]);
});

test("a check that was in progress when the last process ended does not bring the region back", async () => {
  await using at = await proxyDeployment({ "proxy-health-interval": "1h" });
  await using process = await FakeProxy.start();
  const { token } = await createProxy(at, "near");
  const asked = process.holdChecks();
  await process.register(at, token);
  await asked;
  await asProxy(at, token, "deregister", { replica_id: process.replicaId });
  process.releaseChecks();
  await at.server.parts.proxies.checks.close(); // waits for the check
  expect(isOut(at)()).toBe(true);
  expect((await near(at)).status).toMatchObject({
    status: "unreachable",
    report: { errors: ["it ended and said so"] },
  });
});

describe("processes that state different things", () => {
  const stunPort = (at: Deployment) => at.server.parts.control.relayMap().regions.get(REGION)?.nodes[0]?.stunPort;
  const stunIs = (at: Deployment, port: number) => () => stunPort(at) === port;

  test("the region has a STUN server if all of them have one, whichever registered last", async () => {
    await using at = await proxyDeployment({ "proxy-health-interval": "1h" });
    await using process = await FakeProxy.start();
    const { token } = await createProxy(at, "near");
    const second = randomUUID();
    const first = () => process.register(at, token, { stun_port: 3479, version: "v1" });
    const other = () => process.register(at, token, { replica_id: second, version: "v2" });
    await first();
    await until(at, stunIs(at, 3479));
    let maps = 0;
    const stop = at.server.parts.proxies.directory.onChange(() => maps++);
    await other();
    expect(stunPort(at)).toBe(-1);
    const after = maps;
    for (let round = 0; round < 5; round++) {
      await first();
      await other();
      expect(stunPort(at)).toBe(-1);
    }
    expect(maps - after).toBeLessThanOrEqual(2); // checks that were requested
    stop();
    expect(await near(at)).toMatchObject({ version: "v2" });
    await asProxy(at, token, "deregister", { replica_id: second });
    // The third change within ten minutes: its region entered, and its STUN server disappeared and returned.
    expect(isOut(at)()).toBe(true);
    expect((await near(at)).status.report.warnings.join()).toContain("it came, went or changed too often");
  });

  test("a region whose content changes repeatedly is held out of the map", async () => {
    await using at = await proxyDeployment();
    await using process = await FakeProxy.start();
    const { token } = await createProxy(at, "near");
    await process.register(at, token);
    await until(at, isIn(at));
    for (const port of [3479, 3480, 3481, 3482]) await process.register(at, token, { stun_port: port });
    expect(isOut(at)()).toBe(true);
    const checks = process.checks;
    await vi.waitFor(() => expect(process.checks).toBeGreaterThan(checks + 1), { timeout: 20_000 });
    expect(isOut(at)()).toBe(true);
  });

  test("a relay is in the map if all of them have one", async () => {
    await using at = await proxyDeployment();
    await using process = await FakeProxy.start();
    const { token } = await createProxy(at, "near");
    await process.register(at, token);
    await until(at, isIn(at));
    const second = randomUUID();
    await process.register(at, token, { replica_id: second, derp_enabled: false, derp_only: false });
    expect(isOut(at)()).toBe(true);
    await process.register(at, token);
    expect(await near(at)).toMatchObject({ derp_enabled: false, derp_only: true });
    await asProxy(at, token, "deregister", { replica_id: second });
    await until(at, isIn(at));
  });
});

test("security R7: mesh keys differ from proxy to proxy, and with each token", async () => {
  await using at = await proxyDeployment();
  await using process = await FakeProxy.start();
  const keys = new Set<string>();
  const register = async (token: string) => {
    const answer = await process.register(at, token, { replica_id: randomUUID() });
    keys.add(answer.json.derp_mesh_key);
  };
  const other = await createProxy(at, "far");
  const { token } = await createProxy(at, "near");
  await register(token);
  await register(token);
  await register(other.token);
  expect(keys.size).toBe(2);
  await register((await edit(at, { regenerate_token: true })).json.proxy_token);
  expect(keys.size).toBe(3);
});
