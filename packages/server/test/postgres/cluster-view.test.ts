/** What an operator sees of servers on one database: metrics, GET /api/v2/debug/cluster, the header of an answer, the log. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { meshKeyOf } from "../../src/relay/relay-keys.ts";
import { loadServerKeys } from "../../src/state/key-file.ts";
import { addMember, send, type TestServer } from "../helpers.ts";
import { startCluster, type TestCluster } from "./cluster-servers.ts";

const eventually = { timeout: 60_000, interval: 50 };
const LABELLED = ["coder_cluster_heartbeat_age_seconds", "coder_cluster_head_lag", "coder_cluster_replica_info"];

let cluster: TestCluster;
let [a, b]: TestServer[] = [];
let token: string;
beforeAll(async () => {
  cluster = await startCluster({
    count: 2,
    flags: { "prometheus-enable": true, "prometheus-address": "127.0.0.1:0", "health-check-refresh": "1s" },
  });
  [a, b] = cluster.servers;
  ({ token } = cluster);
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

const shortId = (server: TestServer) => server.server.parts.replicaId.slice(0, 8);
const get = (server: TestServer, path: string, as = token) => send(server.url, "GET", path, { token: as });
const metrics = async (server: TestServer) =>
  (await fetch(`http://127.0.0.1:${server.server.metricsAddress?.port}/metrics`)).text();

describe("of two servers an operator sees", () => {
  it("how far each is behind the other, and the link between their relays", async () => {
    await vi.waitFor(async () => {
      const { json } = await get(a!, "/api/v2/debug/cluster");
      expect(json).toMatchObject({
        replica: { short_id: shortId(a!), region_id: 999, relay_address: a!.url },
        state: "healthy",
        notifications: "listen",
        pool: { max: 10 },
        links: [{ short_id: shortId(b!), url: b!.url, state: "up", error: null }],
      });
      expect(json.servers.map(({ short_id }: { short_id: string }) => short_id).sort()).toEqual(
        [shortId(a!), shortId(b!)].sort(),
      );
      for (const server of json.servers) expect(server).toMatchObject({ state: "alive", lag: 0 });
    }, eventually);
  });

  it("their metrics, with one series for each server", async () => {
    await vi.waitFor(async () => {
      const text = await metrics(a!);
      const value = (series: string) =>
        Number(new RegExp(`^${series.replaceAll(/[{}]/g, "\\$&")} (.+)$`, "m").exec(text)?.[1]);
      expect(value('coder_cluster_replicas{state="alive"}')).toBe(2);
      expect(value('coder_cluster_mode{mode="listen"}')).toBe(1);
      expect(value("coder_cluster_isolated")).toBe(0);
      expect(value(`coder_cluster_head_lag{server="${shortId(b!)}"}`)).toBe(0);
      expect(value(`coder_derp_mesh_link_up{sibling="${shortId(b!)}"}`)).toBe(1);
      expect(value('coder_pubsub_publishes_total{success="true"}')).toBeGreaterThan(0);
      expect(value("coder_pubsub_connected")).toBe(1);
      expect(value("coder_cluster_hint_seconds_count")).toBeGreaterThan(0);
      expect(value("coder_cluster_batch_rows_count")).toBeGreaterThan(0);
      expect(value('coder_db_query_seconds_count{query="cluster_heartbeat"}')).toBeGreaterThan(0);
      expect(value('coder_db_pool_connections{state="max"}')).toBe(10);
      for (const name of LABELLED) expect(text.match(new RegExp(`^${name}\\{`, "gm")), name).toHaveLength(2);
    }, eventually);
  });

  it("which of them answered, and members do not see it", async () => {
    const header = async (server: TestServer, as: string) =>
      (await get(server, "/api/v2/users/me", as)).headers["x-coder-replica"];
    expect([await header(a!, token), await header(b!, token)]).toEqual([shortId(a!), shortId(b!)]);
    const { token: bob } = await addMember(a!.url, token, "bob");
    expect(await header(a!, bob)).toBeUndefined();
    expect((await get(a!, "/api/v2/debug/cluster", bob)).status).toBe(403);
    expect((await send(a!.url, "GET", "/readyz")).headers["x-coder-replica"]).toBeUndefined();
  });

  it("security R1: no password of the database, key of the relays or token on any page, metric or line of the log", async () => {
    const { postgres, stateDir } = a!.server.parts.config;
    const database = new URL(postgres !== undefined && "url" in postgres.source ? postgres.source.url : "");
    const { keys } = loadServerKeys(join(stateDir, "keys.json"), true);
    const secrets = [
      database.password,
      token.split("-")[1]!,
      meshKeyOf(keys.derpPrivate, a!.server.parts.deployment.deploymentId),
      Buffer.from(keys.signing).toString("hex"),
    ];
    const pages = ["cluster", "health", "coordinator", "tailnet"].map((page) => `/api/v2/debug/${page}`);
    const texts = [a!.log.text, b!.log.text, await metrics(a!)];
    for (const page of [...pages, "/api/v2/replicas", "/api/v2/deployment/config"])
      texts.push((await get(a!, page)).text);
    for (const text of texts) for (const secret of secrets) expect(text).not.toContain(secret);
  });

  it("security R21: no address, user or host of the database without a login", async () => {
    const { postgres } = a!.server.parts.config;
    const database = new URL(postgres !== undefined && "url" in postgres.source ? postgres.source.url : "");
    const { json } = await get(a!, "/api/v2/users/me");
    for (const path of ["/healthz", "/readyz", "/latency-check", "/api/v2/buildinfo"]) {
      const { status, text, headers } = await send(a!.url, "GET", path);
      expect(status).toBe(200);
      const answer = text + JSON.stringify(headers);
      for (const secret of [database.host, database.username, json.email, b!.url, shortId(b!)])
        expect(answer).not.toContain(secret);
      // As a whole word, because the hexadecimal digits of an id may contain it.
      expect(answer).not.toMatch(new RegExp(`\\b${json.username}\\b`));
    }
  });

  it("one line of the log when a server joins, and one when it leaves", async () => {
    const lines = (text: string) => a!.log.text.split("\n").filter((line) => line.includes(`"msg":"${text}"`));
    await vi.waitFor(() => expect(lines("replica joined")).toHaveLength(1), eventually);
    expect(lines("replica joined")[0]).toContain(`"replica":"${shortId(b!)}"`);
    await b!.server.close();
    await vi.waitFor(() => expect(lines("replica left")).toHaveLength(1), eventually);
    expect(lines("replica lost")).toEqual([]);
    await vi.waitFor(
      async () => expect(await metrics(a!)).toContain('coder_cluster_replicas{state="alive"} 1'),
      eventually,
    );
  });
});
