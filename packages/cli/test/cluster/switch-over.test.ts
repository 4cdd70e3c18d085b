import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { EchoSession } from "./echo-session.ts";
import { findPostgres, type TestPostgres } from "./postgres-server.ts";
import { Path } from "./tcp-relays.ts";
import { TestCluster } from "./test-cluster.ts";

const SERVERS = 3;
const RUNS = 3;
const eventually = { timeout: 120_000, interval: 100 };
const binaries = findPostgres();
const missing = binaries === undefined ? "PostgreSQL" : "nothing";

/** The standby replicates through a path of its own, which is cut so that the last commits are lost. */
async function startPair(primary: TestPostgres) {
  const path = new Path(primary.port);
  await path.listen();
  const standby = await primary.startStandby(path.port).catch(async (error: unknown) => {
    await path.close();
    throw error;
  });
  return {
    path,
    standby,
    // The standby comes first, so that the servers must find out that it does not serve.
    url: `postgres://postgres@127.0.0.1:${standby.port},127.0.0.1:${primary.port}/postgres`,
    close: async () => {
      await standby.stop();
      await path.close();
    },
  };
}

describe.skipIf(binaries === undefined)(
  `three servers whose database is switched over (missing here: ${missing})`,
  () => {
    let cluster: TestCluster;
    let pair: Awaited<ReturnType<typeof startPair>>;
    let agentId: string;

    beforeAll(async () => {
      cluster = await TestCluster.start({
        servers: SERVERS,
        binaries: binaries!,
        database: async (primary) => {
          pair = await startPair(primary);
          return pair;
        },
      });
      agentId = await cluster.startWorkspace("demo");
    });
    afterAll(async () => {
      await cluster?.close();
    });

    it("go on with a standby that lacks the last commits, and keep every session", async () => {
      const open = await cluster.openSessions("demo");
      const { postgres: primary } = cluster;
      const { standby, path } = pair;
      const heads = "select id, head from tailnet_servers order by id";
      const written = await primary.query("select pg_current_wal_lsn()");
      await vi.waitFor(
        async () => expect(await standby.query(`select pg_last_wal_replay_lsn() >= '${written}'`)).toBe("t"),
        eventually,
      );
      path.cut();
      // The lost commits include peers of the servers, and the tunnels of one.
      for (let i = 0; i < SERVERS; i++) open.push(new EchoSession(cluster, "demo"));
      for (const session of open) await session.goesOn(20);
      const before = await standby.query(heads);
      expect(await primary.query(heads)).not.toBe(before);
      await primary.crash();
      await standby.query("select pg_promote()");
      for (let index = 0; index < SERVERS; index++)
        await vi.waitFor(
          async () => expect((await cluster.api(index, "/api/v2/users/me")).status).toBe(200),
          eventually,
        );
      for (const session of open) await session.goesOn(20);
      await vi.waitFor(
        () => expect(cluster.servers.map(({ log }) => log).join("")).toContain("under a new id"),
        eventually,
      );
      for (let run = 0; run < RUNS; run++)
        expect((await cluster.done(["ssh", "demo", "--", "echo", "after"])).stdout).toBe("after\n");
      for (const session of open) await session.end();
      await vi.waitFor(
        async () => expect(await cluster.peers()).toEqual({ agents: [agentId], clients: 0 }),
        eventually,
      );
    });
  },
);
