/** The health report of servers on one database: what each finds through a balancer, and what it shows about the others. */
import { replicasReport } from "coder-protocol/rest/deployment";
import { afterEach, describe, expect, it, vi } from "vitest";
import { send, type TestServer } from "../helpers.ts";
import { BALANCERS, INSTALLED, startProgram } from "./balancers.ts";
import { type ClusterOptions, startCluster, type TestCluster } from "./cluster-servers.ts";

const eventually = { timeout: 60_000, interval: 50 };

let open = new AsyncDisposableStack();
afterEach(async () => {
  await open.disposeAsync();
  open = new AsyncDisposableStack();
});

async function cluster(options: ClusterOptions): Promise<TestCluster> {
  return open.use(await startCluster({ flags: { "health-check-refresh": "1s" }, ...options }));
}

const report = async (server: TestServer, token: string) =>
  (await send(server.url, "GET", "/api/v2/debug/health", { token })).json;
const replicas = async (server: TestServer, token: string) =>
  replicasReport.parse((await report(server, token)).replicas);

/** Whether all links between relays are up. */
const linked = (servers: readonly TestServer[]) =>
  vi.waitFor(() => {
    for (const { server } of servers)
      expect(server.parts.mesh?.status().map(({ state }) => state)).toEqual(Array(servers.length - 1).fill("up"));
  }, eventually);

/** On a busy machine a check may time out, so it is repeated a second later. */
const allGood = (servers: readonly TestServer[], token: string) =>
  vi.waitFor(async () => {
    for (const server of servers) {
      const found = await report(server, token);
      expect(found.derp.error).toBeUndefined();
      expect(found).toMatchObject({ websocket: { code: 101 }, healthy: true, replicas: { healthy: true } });
    }
  }, eventually);

describe("health of several servers", () => {
  it("is good through a balancer that gives each connection to another of them", async () => {
    const { servers, token } = await cluster({ count: 3 });
    await linked(servers);
    await allGood(servers, token);
  });

  // The relay's own upgrade and WebSockets pass, each to any server.
  it.for(BALANCERS)("is good through $program with the file of deploy/cluster", async (balancer, context) => {
    context.skip(!INSTALLED.has(balancer.program), `needs ${balancer.program}`);
    const { servers, token } = await cluster({ count: 2, balancer: (ports) => startProgram(balancer, ports) });
    await linked(servers);
    await allGood(servers, token);
    const { derp } = await report(servers[0]!, token);
    expect(derp.regions["999"].node_reports[0]).toMatchObject({ can_exchange_messages: true, uses_websocket: false });
  });

  it("is shown by each of them, with the age of what it shows", async () => {
    const { servers, token } = await cluster({ count: 2, lastFlags: { "access-url": "http://127.0.0.1:9" } });
    const [a, b] = servers as [TestServer, TestServer];
    await vi.waitFor(async () => {
      const section = await replicas(a, token);
      expect(section.replicas.map(({ healthy }) => healthy)).toEqual([true, false]);
      expect(section).toMatchObject({ healthy: false, severity: "error" });
      expect(section.replicas[1]).toMatchObject({ age_ms: expect.any(Number), version: expect.any(String) });
      expect(section.replicas[1]!.report!.sections["access_url"]!.error).toMatch(/^EACS03: /);
    }, eventually);
    // The unhealthy one shows the other as it is, and does not count itself twice.
    await vi.waitFor(async () => {
      const section = await replicas(b, token);
      expect(section.replicas.map(({ healthy, report: known }) => [healthy, known !== null])).toEqual([
        [false, true],
        [true, true],
      ]);
      expect(section.healthy).toBe(true);
    }, eventually);
  });

  it("security R24: leaves out a row that contains no report", async () => {
    const { servers, token } = await cluster({ count: 2, lastFlags: { "health-check-refresh": "10m" } });
    const [a, b] = servers as [TestServer, TestServer];
    const { store, replicaId } = b.server.parts;
    const shown = async () => (await replicas(a, token)).replicas.find(({ id }) => id === replicaId)?.report;
    await vi.waitFor(
      async () => expect(await shown()).toMatchObject({ coder_version: expect.any(String) }),
      eventually,
    );
    for (const row of ["<script>", "x".repeat(40_000), '{"sections":{"derp":"ok"}}']) {
      await store.replicaHealths!.write(replicaId, row);
      expect(await shown()).toBeNull();
    }
  });

  it("security R21: names neither addresses, users nor the database's host in the stored report", async () => {
    const { servers, token } = await cluster({ count: 2 });
    const [a] = servers as [TestServer, TestServer];
    await vi.waitFor(async () => expect(await a.server.parts.store.replicaHealths!.read()).toHaveLength(2), eventually);
    const { postgres } = a.server.parts.config;
    const database = new URL(postgres !== undefined && "url" in postgres.source ? postgres.source.url : "");
    const rows = JSON.stringify(await a.server.parts.store.replicaHealths!.read());
    for (const secret of [database.host, database.password, token]) expect(rows).not.toContain(secret);
    // As a whole word, because the hexadecimal digits of an id may contain it.
    expect(rows).not.toMatch(/\bada\b/);
  });
});
